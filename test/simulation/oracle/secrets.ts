import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { LogFields, Telemetry } from '../../../lib/operations/ports/telemetry.ts';
import { describeError } from '../../../lib/platform/telemetry.ts';
import type { Change } from '../table/simulatedTable.ts';

/** Every id, value, key, token and secret of the simulation has one of these words in it. */
const RAW = /RAW(?:SESSION|USER|VALUE|KEY|TOKEN|SECRET)/;

/** I7: looks for what nobody may see in log lines, messages of errors, and what lies in the table unsealed. */
export class Secrets {
  lines = 0;
  readonly #broken: (what: string) => void;

  constructor(broken: (what: string) => void) {
    this.#broken = broken;
  }

  /** Telemetry whose lines are looked at as they would be written. */
  readonly telemetry: Telemetry = {
    count: () => {},
    duration: () => {},
    operationsSettling: () => {},
    log: (level, message, fields: LogFields = {}, error = undefined) => {
      this.lines += 1;
      const failure = error === undefined ? {} : describeError(error);
      const line = JSON.stringify({ level, message, ...fields, failure });
      if (RAW.test(line)) this.#broken(`I7 in a log line: ${line}`);
    },
  };

  error(error: unknown): void {
    if (error instanceof Error && RAW.test(error.message)) this.#broken(`I7 in an error: ${error.message}`);
  }

  stored({ pk, sk, before, after }: Change): void {
    if (RAW.test(pk) || RAW.test(sk)) this.#broken(`I7 in a key: ${pk} ${sk}`);
    for (const [name, value] of Object.entries(after ?? {})) {
      if (value !== before?.[name] && isRaw(value)) this.#broken(`I7 in an attribute: ${sk} ${name}`);
    }
  }
}

function isRaw(value: AttributeValue): boolean {
  if (value.S !== undefined) return RAW.test(value.S);
  if (value.B !== undefined) return RAW.test(Buffer.from(value.B).toString('latin1'));
  if (value.L !== undefined) return value.L.some(isRaw);
  if (value.M !== undefined) return Object.entries(value.M).some(([name, member]) => RAW.test(name) || isRaw(member));
  if (value.SS !== undefined) return value.SS.some((text) => RAW.test(text));
  return value.BS?.some((bytes) => RAW.test(Buffer.from(bytes).toString('latin1'))) ?? false;
}
