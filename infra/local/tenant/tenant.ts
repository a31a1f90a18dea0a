import { randomUUID } from 'node:crypto';
import { answerAdmin } from './admin.ts';
import { Faults } from './faults.ts';
import { Journal } from './journal.ts';
import { type Outcome, receive, type TenantRequest } from './messages.ts';
import { RateWindow } from './rate-window.ts';
import { serve } from './serve.ts';
import { Sessions } from './sessions.ts';
import { SettingsHolder, type SettingsPatch } from './settings.ts';
import { resetState, type TenantState } from './state.ts';
import { Tokens } from './tokens.ts';

export interface TenantOptions {
  /** Epoch milliseconds. Default: the system's clock. */
  readonly now?: () => number;
  /** Source of what makes tokens unique. Default: random UUIDs. */
  readonly newId?: () => string;
  /** What differs from the default settings. */
  readonly settings?: SettingsPatch;
}

/** The simulated tenant: its rules, and the same handles the admin routes use for tests in the same process. */
export interface Tenant extends Pick<TenantState, 'settings' | 'sessions' | 'tokens' | 'faults' | 'journal'> {
  /** Takes one request. All changes are made at once; waiting `delayMs` and cutting the connection is up to the caller. */
  handle(request: TenantRequest): Outcome;
  /** Forgets everything and goes back to the settings given at the start. */
  reset(): void;
}

/**
 * Makes a Cognigy tenant that speaks the `session-api` dialect (SPEC 3), in memory, without sockets and timers, so that
 * a simulation can own its time.
 *
 * @throws ZodError for settings that make no sense
 * @example
 * const tenant = createTenant({ now: () => 0, settings: { ratePerMinute: 0 } });
 * tenant.faults.add({ match: { surface: 'inject' }, action: { status: 503 } });
 */
export function createTenant({ now = Date.now, newId = randomUUID, settings: patch = {} }: TenantOptions = {}): Tenant {
  const settings = new SettingsHolder(patch);
  const state: TenantState = {
    now,
    settings,
    sessions: new Sessions(now, settings),
    tokens: new Tokens(now, newId),
    faults: new Faults(),
    journal: new Journal(),
    rate: new RateWindow(),
  };
  return {
    settings: state.settings,
    sessions: state.sessions,
    tokens: state.tokens,
    faults: state.faults,
    journal: state.journal,
    handle(request) {
      const received = receive(request);
      if (received.segments[0] !== '__admin') return serve(received, state);
      return { kind: 'answer', delayMs: 0, answer: answerAdmin(received, state) };
    },
    reset: () => resetState(state),
  };
}
