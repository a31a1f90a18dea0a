import { defineConfig } from 'vitest/config';

const project = (name: string, testTimeout: number) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: 60_000 },
});

/** Unit tests are pure; the others start their own servers on free ports. DynamoDB Local runs only when asked for. */
export default defineConfig({
  test: {
    projects: [
      project('unit', 10_000),
      project('contract', 30_000),
      project('integration', 30_000),
      project('e2e', 60_000),
    ],
  },
});
