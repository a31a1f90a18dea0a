import type { Evidence } from '../evidence.ts';
import { Books } from './books.ts';
import { accountForBudget } from './budget.ts';
import { accountForDeliveries } from './deliveries.ts';
import { accountForDepartures } from './departures.ts';
import { accountForEffects } from './effects.ts';
import type { Finding } from './finding.ts';
import { accountForOperations } from './operations.ts';
import { accountForTrails } from './trails.ts';
import { accountForTransitions } from './transitions.ts';
import { accountForValues } from './values.ts';

/** Everything that does not balance; nothing where all is well. */
export function account(evidence: Evidence): readonly Finding[] {
  const books = new Books(evidence);
  return [
    ...accountForOperations(books),
    ...accountForEffects(books),
    ...accountForValues(books),
    ...accountForTransitions(books),
    ...accountForTrails(books),
    ...accountForBudget(books),
    ...accountForDeliveries(books),
    ...accountForDepartures(books),
  ];
}
