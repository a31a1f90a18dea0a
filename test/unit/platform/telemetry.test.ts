import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../lib/platform/config.ts';
import { SecretError } from '../../../lib/platform/secrets.ts';
import { describeError } from '../../../lib/platform/telemetry.ts';

describe('describeError (I7)', () => {
  it('has name, code and causes, and neither message nor stack at any depth', () => {
    const cause = Object.assign(new TypeError('hunter2 in the cause'), { code: 'ECONNRESET' });
    const described = describeError(new Error('hunter2 in the message\nhunter2 in its second line', { cause }));
    expect(described).toEqual({ name: 'Error', cause: { name: 'TypeError', code: 'ECONNRESET' } });
  });

  it.each(['text', 4711, null, undefined, { message: 'hunter2' }, Symbol('hunter2')])(
    'of something thrown that is no error tells its type only: %s',
    (thrown) => {
      expect(describeError(thrown)).toEqual({ name: typeof thrown });
    },
  );

  it('a parser that quotes its input is not quoted', () => {
    let thrown: unknown;
    try {
      JSON.parse('{"password":hunter2}');
    } catch (error) {
      thrown = error;
    }
    expect(JSON.stringify(describeError(thrown))).not.toContain('hunter');
  });

  it('messages of errors that name things and quote nothing are kept', () => {
    expect(describeError(new SecretError('clientId: is missing')).message).toBe('clientId: is missing');
    expect(describeError(new ConfigError(['TABLE_NAME is missing'])).name).toBe('ConfigError');
  });

  it('a code that is no text is not taken over', () => {
    expect(describeError(Object.assign(new Error('x'), { code: { secret: 1 } }))).not.toHaveProperty('code');
  });
});
