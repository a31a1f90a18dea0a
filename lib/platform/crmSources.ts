import { readFileSync } from 'node:fs';
import type { CrmSource } from '../context/crmSource.ts';

const SHIPPED: { readonly sources: readonly CrmSource[] } = JSON.parse(
  readFileSync(new URL('../../infra/config/crm-sources.json', import.meta.url), 'utf8'),
);

/**
 * The CRMs that may report changes, by name. In a bundle `scripts/build.ts` puts the sources of the file named by
 * `CRM_SOURCES_FILE`, checked, in the place of this module; unbundled, they are the shipped ones, which leave out no default.
 */
export const crmSources: ReadonlyMap<string, CrmSource> = new Map(
  SHIPPED.sources.map((source) => [source.name, source]),
);
