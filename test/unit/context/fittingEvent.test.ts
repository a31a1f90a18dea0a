import { describe, expect, it } from 'vitest';
import { fittingEvent } from '../../../lib/context/fittingEvent.ts';

const event = (paths: readonly string[], crm?: { note: string }) => ({
  type: 'x',
  data: { version: 1, paths, ...(crm !== undefined && { crm }) },
});

describe('fittingEvent', () => {
  it('leaves alone what fits, to the byte', () => {
    const fitting = event(['/ä'], { note: 'n' });
    const bytes = Buffer.byteLength(JSON.stringify(fitting));
    expect(fittingEvent(fitting, bytes)).toBe(fitting);
    expect(fittingEvent(fitting, bytes - 1)).not.toBe(fitting);
  });

  it('leaves the paths out first, and says how many there were', () => {
    const large = event(
      Array.from({ length: 100 }, (_, at) => `/path${at}`),
      { note: 'n' },
    );
    expect(fittingEvent({ ...large, data: { ...large.data, pathsOmitted: 3 } }, 200)).toEqual({
      type: 'x',
      data: { version: 1, paths: [], pathsOmitted: 103, crm: { note: 'n' } },
    });
  });

  it('then what the client has said', () => {
    const data = { version: 1, paths: [], pathsOmitted: 1 };
    expect(fittingEvent(event(['/a'], { note: 'n'.repeat(200) }), 200)).toEqual({ type: 'x', data });
  });
});
