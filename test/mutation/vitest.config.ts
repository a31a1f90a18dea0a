import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Tests of the mutated file come first: a mutant that they kill is done with. Told by names, `schemaNodes` by `schema…` too. */
class OwnTestsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const mutated = [this.ctx.config.related].flat().map((file) => basename(file ?? '', '.ts'));
    const closeness = ({ moduleId }: TestSpecification) =>
      Math.max(0, ...mutated.map((name) => commonLength(name, basename(moduleId, '.test.ts'))));
    return (await super.sort(files)).sort((a, b) => closeness(b) - closeness(a));
  }
}

function commonLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

// As in vitest.config.ts.
process.env['TZ'] = 'Asia/Kathmandu';

/** The unit tests of what is mutated, and nothing that builds, packages or starts anything. */
export default defineConfig({
  test: {
    include: ['test/unit/{context,docs,events,operations,upstream}/**/*.test.ts'],
    setupFiles: ['test/mutation/fixedSeed.ts'],
    // One worker for all files of a run: each mutant has a run, and a worker, of its own.
    isolate: false,
    sequence: { sequencer: OwnTestsFirst },
    testTimeout: 60_000,
  },
});
