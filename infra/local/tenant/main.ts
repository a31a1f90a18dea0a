import { startTenantServer } from './server.ts';

const port = Number(process.env['TENANT_PORT'] ?? '4010');
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error('TENANT_PORT must be a port number.');
  process.exit(1);
}

const { url, close } = await startTenantServer({ port });
console.log(`Simulated Cognigy tenant on ${url} (admin routes: ${url}/__admin/settings)`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close());
