/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: [
    'lib/context/**/*.ts',
    'lib/upstream/{gcra,backoff,retryAfter,retry,governor}.ts',
    'lib/events/{standardWebhooks,crmSignatures,hmacSchemes,publicAddress}.ts',
    'lib/operations/{settlement,settling}.ts',
  ],
  plugins: ['@stryker-mutator/vitest-runner'],
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts' },
  coverageAnalysis: 'perTest',
  concurrency: 1,
  incremental: true,
  incrementalFile: '.cache/mutation/incremental.json',
  tempDirName: '.cache/mutation/sandbox',
  disableTypeChecks: false,
  // Stryker would rewrite it with TypeScript's old API, which TypeScript 7 no longer has. Nothing in the sandbox reads it.
  tsconfigFile: 'none',
  ignorePatterns: ['.cache', '.ci', '.github', 'bench', 'dist', '.serverless', '.data'],
  reporters: ['json', 'clear-text', 'progress-append-only'],
  jsonReporter: { fileName: '.cache/mutation/report.json' },
  clearTextReporter: { logTests: false, reportTests: false },
  // Generous: a loaded machine must not kill mutants. What loops is counted, and stopped by that.
  timeoutMS: 10_000,
};
