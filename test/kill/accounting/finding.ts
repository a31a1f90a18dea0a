/** What may be wrong with the books. */
export type Rule =
  /** Answered 2xx, and in no audit trail as ended. */
  | 'lost'
  /** Told one thing, recorded another. */
  | 'contradiction'
  /** One idempotency key, two effects or two ends. */
  | 'double-effect'
  /** Of one request some values have reached the bot, others not. */
  | 'partial-effect'
  /** In the bot, but by the books not done. */
  | 'unrecorded-effect'
  /** Nobody has asked for it. */
  | 'stranger'
  /** The bot has not what the last operation has put there. */
  | 'wrong-value'
  /** Bridge and bot differ. */
  | 'mirror-differs'
  | 'still-pending'
  | 'transition-repeated'
  /** Confirmed, and never seen by the tenant. */
  | 'transition-missing'
  /** A CRM's event was applied after one that occurred later. */
  | 'late-event'
  | 'chain-broken'
  /** Something of an erased session has come back. */
  | 'erased-returns'
  | 'over-budget'
  | 'throttled'
  | 'journal-incomplete'
  /** An operation has ended, and the endpoint was not told. */
  | 'event-missing'
  /** The endpoint was told something that is not so, or without a signature that fits. */
  | 'event-wrong'
  /** The same id, and not the same event. */
  | 'event-differs';

/** One thing that does not balance. */
export interface Finding {
  readonly rule: Rule;
  /** Which request, session or operation, and what of it. */
  readonly what: string;
}
