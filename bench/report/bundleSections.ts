import type { ImportRun } from '../measures/imports.ts';
import type { MemoryRun } from '../measures/memory.ts';
import { atMost, kib, mb, ms, type Section, times } from './figures.ts';

const SIZE_BUDGET_KIB: Readonly<Record<string, number>> = { inject: 420 };
const DEFAULT_SIZE_BUDGET_KIB = 450;

export function importSection({ functions, client, clientOnDiet, rounds }: ImportRun): Section {
  return {
    title: 'Bundles and their import',
    method:
      `Median over ${rounds} fresh processes each, all bundles in turn. Compared with a file that imports and constructs the DynamoDB ` +
      'client, bundled with the same options.',
    figures: [
      ...functions.map(({ name, bytes }) => ({
        name: `${name}: size`,
        value: kib(bytes),
        target: atMost(SIZE_BUDGET_KIB[name] ?? DEFAULT_SIZE_BUDGET_KIB, bytes / 1024, ' KiB'),
      })),
      ...functions.map(({ name, importMs }) => ({
        name: `${name}: import`,
        value: times(importMs / client.importMs),
        target: atMost(1.3, importMs / client.importMs, ' ×'),
        remark: `${ms(importMs)}; ${times(importMs / clientOnDiet.importMs)} of the client on our diet`,
      })),
      { name: 'DynamoDB client alone: import', value: ms(client.importMs), remark: kib(client.bytes) },
      {
        name: 'DynamoDB client alone, on our diet: import',
        value: ms(clientOnDiet.importMs),
        remark: `${kib(clientOnDiet.bytes)}; without what no function in Lambda reaches (scripts/build.ts)`,
      },
    ],
  };
}

export function memorySection(run: MemoryRun): Section {
  return {
    title: 'Memory',
    method:
      `${run.injections} injections of ${run.bytesEach} bytes of variables each, text that does not compress, in a process that holds ` +
      `only the function, started as Lambda starts one of 128 MB (${run.nodeOptions}). Resident set, peak; 1 MB = 1,000,000 bytes.`,
    figures: [
      {
        name: 'peak',
        value: mb(run.peakBytes),
        target: { text: 'below 128 MB', isMet: run.peakBytes < 128_000_000 },
      },
      { name: 'after the first', value: mb(run.firstBytes) },
      { name: 'loaded, before the first', value: mb(run.loadedBytes) },
    ],
  };
}
