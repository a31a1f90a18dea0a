// The local stack in a process of its own: one instance of each function, shared by all invocations, with the settings' defaults.
import { startStack } from '../../infra/local/stack.ts';
import { API_KEY, WEBHOOK_SECRET } from '../traffic.ts';
import type { StackAddress } from './protocol.ts';

const stack = await startStack({
  port: 0,
  sweepMs: 0,
  bridgeApiKey: API_KEY,
  webhookSecrets: [WEBHOOK_SECRET],
  credentials: { clientId: 'client', clientSecret: 'secret', apiKey: 'api-key' },
  settings: {},
});
if (stack.tenant === undefined) throw new Error('no tenant of our own');

process.on('message', async () => {
  await stack.tick();
  process.send?.('done');
});
process.on('disconnect', () => process.exit());
process.send?.({ url: stack.url, upstreamUrl: stack.tenant.url } satisfies StackAddress);
