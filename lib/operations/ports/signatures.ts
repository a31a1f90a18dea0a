/** Something that came from outside, with what its signature is about. */
export interface Signed {
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** The body's bytes as they arrived. */
  readonly rawBody: Uint8Array;
}

/** A call whose signature is about more than its body. */
export interface SignedCall extends Signed {
  readonly method: string;
  /** As the sender has called it: absolute, with its query, nothing decoded. */
  readonly url: string;
}

/** Whether a signature is right. A reason names the rule and quotes nothing; `unconfigured` = there is no secret to go by. */
export type SignatureVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'missing' | 'malformed' | 'stale' | 'mismatch' | 'unconfigured' };

/** Says whether what has come was sent by who may send it. */
export type SignatureVerifier = (signed: Signed) => SignatureVerdict;
