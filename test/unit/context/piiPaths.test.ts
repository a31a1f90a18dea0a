import { describe, expect, it } from 'vitest';
import { MASK, maskPii } from '../../../lib/context/piiPaths.ts';
import { schemaRulesOf } from '../../../lib/context/schemaRules.ts';

const rules = schemaRulesOf({
  type: 'object',
  properties: {
    email: { type: 'string', 'x-pii': true },
    address: { type: 'object', 'x-pii': true, properties: { city: { type: 'string' } } },
    order: {
      type: 'object',
      properties: { id: { type: 'string' }, 'card/no': { type: 'string', 'x-pii': true } },
    },
  },
});

describe('SCENARIO 44: what a path says outside', () => {
  it.each([
    ['', ''],
    ['/order', '/order'],
    ['/order/id', '/order/id'],
    ['/unknown/deep', '/unknown/deep'],
    ['/email', '/*'],
    // Whatever it is inside of what is personal.
    ['/address', '/*'],
    ['/address/city', '/*'],
    ['/address/city/0', '/*'],
    ['/order/card~1no', '/order/*'],
    ['/order/card~1no/0', '/order/*'],
  ])('%s is %s', (path, told) => expect(maskPii(rules, [path])).toEqual([told]));

  it('is said once each, in the order given', () => {
    const paths = ['/order/card~1no', '/email', '/order/id', '/address', '/order/id', '/address/city'];
    expect(maskPii(rules, paths)).toEqual([`/order/${MASK}`, `/${MASK}`, '/order/id']);
  });
});
