import type { SessionStore } from '../../../../lib/operations/ports/sessionStore.ts';

/** The store of the running test: empty at its beginning, with the options of `STORE_OPTIONS`. */
export type StoreUnderTest = () => SessionStore;
