import type { JournalEntry } from '../../../infra/local/tenant/journal.ts';
import { isJsonObject } from '../../../lib/context/json.ts';
import type { Books } from './books.ts';
import type { Finding } from './finding.ts';

/** Each transition has been made once at most; exactly once where it was confirmed, and not where it was refused. */
export function accountForTransitions(books: Books): Finding[] {
  const { journal, exchanges } = books.evidence;
  const made = Map.groupBy(
    journal.flatMap((entry) => transitionsIn(entry)),
    (nextStep) => nextStep,
  );
  const wanted = exchanges.filter(({ request }) => request.nextStep !== undefined);
  const known = new Set(wanted.map(({ request }) => request.nextStep));
  const strangers = [...made.keys()]
    .filter((nextStep) => !known.has(nextStep))
    .map((nextStep): Finding => ({ rule: 'stranger', what: `transition ${nextStep}` }));
  const wrong = wanted.flatMap((exchange): Finding[] => {
    const { id, nextStep = '', sessions } = exchange.request;
    const times = made.get(nextStep)?.length ?? 0;
    const fate = books.fateOf(exchange, sessions[0] ?? '');
    if (times > 1) return [{ rule: 'transition-repeated', what: `${id}: ${nextStep}, ${times} times` }];
    if (times === 0 && fate === 'confirmed') return [{ rule: 'transition-missing', what: `${id}: ${nextStep}` }];
    const isRecorded = times === 0 || fate === 'confirmed' || fate === 'in-dispute';
    return isRecorded ? [] : [{ rule: 'unrecorded-effect', what: `${id}: ${nextStep}, by its books: ${fate}` }];
  });
  return [...strangers, ...wrong];
}

function transitionsIn({ surface, applied, body }: JournalEntry): string[] {
  if (surface !== 'dialog-state' || !applied || !isJsonObject(body)) return [];
  const { transition } = body;
  const nextStep = isJsonObject(transition) ? transition['nextStep'] : undefined;
  return typeof nextStep === 'string' ? [nextStep] : [];
}
