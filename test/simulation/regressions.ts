/**
 * Seeds that have found something, and what: they are lived through first, each time. A seed is another life as soon as the world
 * or the clients change; what it has found is kept by a test of its own as well, of the operation or the store that was wrong.
 */
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
    seed: 200034,
    operations: 60,
    found:
      'The oracle’s: of what an answer that made no sense has left in the bot, the mirror cannot know the scope, and it hides another one.',
  },
  {
    seed: 200123,
    operations: 60,
    found:
      'The oracle’s: what a failed operation has left in the bot is in the mirror of an earlier one that was pushed after it.',
  },
  {
    seed: 200778,
    operations: 60,
    found: 'The oracle’s: what a failed sync has left in the bot was taken for half of the same sync, asked for again.',
  },
  {
    seed: 300788,
    operations: 60,
    found:
      'An expired value was taken for the bot’s own: putting back what it had replaced was refused, and its operation ended with the rest of it.',
  },
  {
    seed: 201972,
    operations: 60,
    found:
      'After an answer that made no sense, what was to live for a time was taken for over also of operations that were still pending.',
  },
  {
    seed: 300447,
    operations: 60,
    found:
      'The oracle’s: the bot has removed a variable between two pages of a snapshot, and what lay first on the second was on neither.',
  },
  {
    seed: 300770,
    operations: 60,
    found:
      'A value in another scope than the one the bot’s own was taken to be in became the bot’s own with the next sync, and outlived its expiry.',
  },
  {
    seed: 302415,
    operations: 60,
    found:
      'What a failed operation may have left in the bot stood in the way of what had been put before it, and was confirmed after it.',
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
  {
    seed: 302008,
    operations: 60,
    found: 'An instance that gave a slot back was shown that somebody had paused the budget, and did not look.',
  },
  {
    seed: 330244,
    operations: 60,
    found:
      'An operation was tried between the pages of a snapshot, and nobody heard what became of it: the lane looked as before.',
  },
  {
    seed: 402753,
    operations: 60,
    found: 'Who erased a session that nobody had written to took away the mirror of one who began it meanwhile.',
  },
  {
    seed: 346099,
    operations: 60,
    found:
      'The oracle’s: what an erased session has left in the user’s scope was put over, and came back when that had expired.',
  },
  {
    seed: 7154,
    operations: 60,
    found:
      'Two syncs had left together, nobody heard how that ended, and each was tried alone: for the first one what the second had put was the bot’s own.',
  },
  {
    seed: 6550,
    operations: 60,
    found:
      'An event of a CRM that came to nothing took back its stamp, and with it the one before: what had occurred earlier still was put over that.',
  },
];
