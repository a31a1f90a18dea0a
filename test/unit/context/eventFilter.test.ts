import { describe, expect, it } from 'vitest';
import { isWanted } from '../../../lib/context/eventFilter.ts';

const event = (paths: readonly string[], pathsOmitted = 0) => ({
  type: 'context.injected',
  data: { paths, pathsOmitted },
});

describe('isWanted', () => {
  it('takes everything where there is no filter', () => {
    expect(isWanted({}, event(['/a']))).toBe(true);
  });

  it('filters by type', () => {
    expect(isWanted({ eventTypes: ['context.failed', 'context.injected'] }, event(['/a']))).toBe(true);
    expect(isWanted({ eventTypes: ['context.failed'] }, event(['/a']))).toBe(false);
  });

  it.each<[string, readonly string[], boolean]>([
    ['one key of several has a prefix', ['/a', '/crm_tier/x'], true],
    ['no key has one', ['/a', '/b/crm_tier'], false],
    ['an escaped key has one', ['/c~1d'], true],
    ['a key is masked, and may be any', ['/*'], true],
    ['something inside a key is masked', ['/a/*'], false],
    ['there are no paths', [], true],
    ['the whole document is meant', [''], false],
  ])('filters by the prefix of top-level keys: %s', (_what, paths, wanted) => {
    expect(isWanted({ keyPrefixes: ['crm_', 'c/'] }, event(paths))).toBe(wanted);
  });

  it('takes what does not name all of its paths', () => {
    expect(isWanted({ keyPrefixes: ['crm_'] }, event(['/a'], 1))).toBe(true);
  });

  it('asks for both', () => {
    const filter = { eventTypes: ['context.failed'], keyPrefixes: ['a'] };
    expect(isWanted(filter, event(['/a']))).toBe(false);
  });
});
