// Which folder may import which. Run by test/unit/infra/boundaries.test.ts, which also shows that every rule bites.
//
//   functions -> http, operations, platform        operations -> context and the ports
//   http, upstream, store, events implement or use the ports; context -> nothing; platform/deps.ts wires everything
//
// A rule with `pathNot` in `to` reads: nothing but that. `import type` counts like any other import: it is knowledge too.

const INSIDE = '^(?:lib|functions|infra|test|scripts|bench)/';
const PORTS = '^lib/operations/ports/|^lib/upstream/ports[.]ts$';
/** Clock, random, crypto, logger: everybody may know them. Who reads the configuration and who wires is not theirs to know. */
const TOOLS = '^lib/platform/(?!deps[.]ts$|config[.]ts$)';

/** `folder` imports nothing else of this project than `allowed`. */
const only = (name, folder, allowed, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: folder },
  to: { path: INSIDE, pathNot: allowed },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    only(
      'context-knows-nothing',
      '^lib/context/',
      ['^lib/context/'],
      'The rules are pure: no I/O, no clock, no project code.',
    ),
    {
      name: 'context-few-libraries',
      comment: 'Of libraries the rules use these, and of Node the hash functions.',
      severity: 'error',
      from: { path: '^lib/context/' },
      to: { path: '', pathNot: [INSIDE, 'node_modules/(?:ajv|ajv-formats|canonicalize)/', '^(?:node:)?crypto$'] },
    },
    only(
      'operations-know-ports',
      '^lib/operations/',
      ['^lib/context/', '^lib/operations/', PORTS, TOOLS],
      'Use cases know interfaces, not who implements them.',
    ),
    only(
      'http-knows-operations',
      '^lib/http/',
      ['^lib/context/', '^lib/operations/', '^lib/http/', TOOLS],
      'HTTP neither stores nor calls out.',
    ),
    only(
      'upstream-knows-ports',
      '^lib/upstream/',
      ['^lib/context/', PORTS, '^lib/upstream/', TOOLS],
      'The upstream does not know the table: it has ports for it.',
    ),
    only(
      'store-knows-ports',
      '^lib/store/',
      ['^lib/context/', PORTS, '^lib/store/', TOOLS],
      'The table does not know the upstream: it implements its ports.',
    ),
    only(
      'events-know-ports',
      '^lib/events/',
      ['^lib/context/', PORTS, '^lib/events/', TOOLS],
      'Events implement ports.',
    ),
    {
      ...only(
        'platform-knows-little',
        '^lib/platform/',
        ['^lib/platform/', '^lib/context/', PORTS],
        'Only deps.ts knows everything: it wires it together.',
      ),
      from: { path: '^lib/platform/', pathNot: '^lib/platform/deps[.]ts$' },
    },
    {
      name: 'deps-is-the-root',
      comment: 'What is wired in deps.ts is handed over from there, never fetched from there.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^lib/platform/deps[.]ts$' },
    },
    {
      name: 'functions-are-thin',
      comment: 'A handler parses, calls one use case, answers. It knows no other function.',
      severity: 'error',
      from: { path: '^functions/([^/]+)/' },
      to: { path: INSIDE, pathNot: ['^functions/$1/', '^lib/http/', '^lib/operations/', '^lib/platform/'] },
    },
    {
      name: 'aws-sdk-at-the-edge',
      severity: 'error',
      from: { path: '^(?:lib|functions)/', pathNot: '^lib/(?:store|events|platform)/' },
      to: { path: 'node_modules/@(?:aws-sdk|smithy)/' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: { path: '^(?:lib|functions)/' },
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: { path: '^(?:lib|functions)/' },
      // Types only (@types/aws-lambda): there is no package of that name to resolve.
      to: { couldNotResolve: true, pathNot: '^aws-lambda$' },
    },
    {
      name: 'no-dev-dependency',
      comment: 'What is bundled has to be in `dependencies`.',
      severity: 'error',
      from: { path: '^(?:lib|functions)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg'], pathNot: 'node_modules/@types/|^aws-lambda$' },
    },
  ],
  options: {
    // TypeScript 7 has no programming interface that dependency-cruiser could use; swc reads `import type` as well.
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    moduleSystems: ['es6', 'cjs'],
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
