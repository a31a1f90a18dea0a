import type { CrmSource } from '../../lib/context/crmSource.ts';
import { isJsonObject } from '../../lib/context/json.ts';
import { webhookSecretProblem } from '../../lib/platform/secrets.ts';

/** What outbound events are signed with on this machine, unless `CRM_WEBHOOK_SECRET` says otherwise. No secret: it is printed here. */
export const LOCAL_CRM_WEBHOOK_SECRET = 'whsec_bG9jYWwtZGV2LXdlYmhvb2stc2VjcmV0';

/** What CRMs sign with on this machine, unless `CRM_SECRETS` says otherwise. */
export const LOCAL_CRM_SECRETS: Readonly<Record<string, readonly string[]>> = {
  generic: ['whsec_bG9jYWwtZGV2LXNlY3JldA=='],
  hubspot: ['local-dev-hubspot-secret'],
  salesforce: ['local-dev-salesforce-secret'],
  zendesk: ['local-dev-zendesk-secret'],
};

/**
 * One secret of Standard Webhooks, or two while they are rotated, with a space or a comma between them; `undefined` where none is set.
 * @throws an error that names the variable, never its value
 */
export function webhookSecretsOf(variable: string, given: string | undefined): readonly string[] | undefined {
  const secrets = given?.split(/[\s,]+/).filter((secret) => secret !== '') ?? [];
  if (secrets.length === 0) return undefined;
  const wrong = webhookSecretProblem(secrets);
  if (wrong !== undefined) throw new Error(`${variable} ${wrong}.`);
  return secrets;
}

/**
 * The secrets of CRM sources, `{ "<source>": ["secret", …] }`, in the place of the local ones; `undefined` where none are set.
 * @throws an error that names the variable, never its value
 */
export function crmSecretsOf(
  given: string | undefined,
  sources: ReadonlyMap<string, CrmSource>,
): Readonly<Record<string, readonly string[]>> | undefined {
  if (!given) return undefined;
  const json = parsed(given);
  const lists = isJsonObject(json) ? Object.entries(json) : [];
  const isRight = isJsonObject(json) && lists.every(([, secrets]) => isOneOrTwo(secrets));
  if (!isRight) {
    throw new Error('CRM_SECRETS must be a JSON object that gives each source a list of one or two secrets.');
  }
  const secrets = json as Record<string, string[]>;
  for (const [name, live] of Object.entries(secrets)) {
    const wrong = sources.get(name)?.scheme === 'standard-webhooks' ? webhookSecretProblem(live) : undefined;
    if (wrong !== undefined) throw new Error(`CRM_SECRETS: of ${name}, ${wrong}.`);
  }
  return secrets;
}

function isOneOrTwo(secrets: unknown): boolean {
  const isList = Array.isArray(secrets) && (secrets.length === 1 || secrets.length === 2);
  return isList && secrets.every((secret) => typeof secret === 'string' && secret !== '');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote the secrets.
    return undefined;
  }
}
