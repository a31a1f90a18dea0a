import type { Faults } from './faults.ts';
import type { Journal } from './journal.ts';
import type { RateWindow } from './rate-window.ts';
import type { Sessions } from './sessions.ts';
import type { SettingsHolder } from './settings.ts';
import type { Tokens } from './tokens.ts';

/** Everything the tenant remembers. */
export interface TenantState {
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly settings: SettingsHolder;
  readonly sessions: Sessions;
  readonly tokens: Tokens;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly rate: RateWindow;
}

/** Forgets everything and goes back to the settings the tenant was started with. */
export function resetState({ settings, sessions, tokens, faults, journal, rate }: TenantState): void {
  settings.reset();
  sessions.reset();
  tokens.revokeAll();
  faults.clear();
  journal.clear();
  rate.reset();
}
