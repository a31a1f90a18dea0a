/** Seeds that have found something, and what: they are lived through first, each time. */
export const REGRESSIONS: readonly { readonly seed: number; readonly operations: number; readonly found: string }[] = [
  {
    seed: 25,
    operations: 60,
    found: 'A mirror that was given up for another one was still on its way, and lay under the same key.',
  },
  {
    seed: 33,
    operations: 60,
    found: 'Who repeated a request and took its lane over pushed what the repeat said, not what had been accepted.',
  },
  {
    seed: 27,
    operations: 60,
    found: 'A live snapshot showed an expired value while an injection that replaces it was waiting.',
  },
  {
    seed: 87,
    operations: 60,
    found: 'A commit that had been given up landed after its operation was settled, and was taken for another one.',
  },
  {
    seed: 96,
    operations: 60,
    found: 'A value that had expired stayed in the bot, because what was to take its place was refused.',
  },
  {
    seed: 393,
    operations: 60,
    found:
      'Who took over from a holder that had died, and could send nothing, forgot that the bot may have what that one sent.',
  },
  {
    seed: 784,
    operations: 60,
    found:
      'A value that had expired was taken for the bot’s own, because putting back what it had replaced was refused.',
  },
  {
    seed: 1795281407079,
    operations: 60,
    found: 'A process that was frozen in its commit sent it again half a minute later, and it was a second operation.',
  },
  {
    seed: 500310,
    operations: 60,
    found: 'A session was erased under a holder, who then put what was erased over what had come since.',
  },
  {
    seed: 500468,
    operations: 60,
    found:
      'One sync removed an object, the next wrote into it, and together they left in it what only the bot had there.',
  },
  {
    seed: 500511,
    operations: 60,
    found: 'A value was refused when it was repeated, had been taken before, and stayed in the bot beyond its time.',
  },
];
