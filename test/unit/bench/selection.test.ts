import { describe, expect, it } from 'vitest';
import { selectMeasures } from '../../../bench/selection.ts';

describe('npm run bench -- --only', () => {
  const measures = ['inject', 'storm', 'rules'].map((name) => ({ name }));
  const named = (only?: string) => selectMeasures(measures, only).map(({ name }) => name);

  it('measures everything where it is absent', () => {
    expect(named()).toEqual(['inject', 'storm', 'rules']);
  });

  it('takes several with commas, in the order of the report', () => {
    expect(named('rules, storm')).toEqual(['storm', 'rules']);
  });

  it('says which names there are when it does not know one', () => {
    expect(() => named('storm,rain')).toThrow('no measure is called rain; there are inject, storm, rules');
  });
});
