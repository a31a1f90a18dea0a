import { defineConfig } from 'vitest/config';

// Somewhere else than the machine that this was written on, and no whole hour from UTC: nothing may go by local time.
process.env['TZ'] = 'Asia/Kathmandu';

/** Limits are far beyond what a test takes: they end what hangs, on however slow a machine. */
const project = (name: string, testTimeout: number, more: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: 120_000, ...more },
});

/** Unit tests are pure; the others start their own servers on free ports. DynamoDB Local runs only when asked for. */
export default defineConfig({
  test: {
    projects: [
      project('unit', 30_000),
      project('contract', 60_000),
      project('integration', 60_000),
      project('simulation', 180_000),
      project('e2e', 180_000, {
        globalSetup: 'test/fixtures/stack/build.ts',
        // Each file is a process of its own with a stack of its own, and mostly waits.
        maxWorkers: 2,
        // The built functions run as they are, not through Vite.
        server: { deps: { external: [/\/dist\//] } },
      }),
    ],
  },
});
