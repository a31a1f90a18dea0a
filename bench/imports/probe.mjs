// Imports one file and says how many milliseconds that took. Not TypeScript: nothing else is to be loaded here.
const startedMs = performance.now();
await import(String(process.argv[2]));
console.log(performance.now() - startedMs);
// What the file has begun by now (connections, timers) does not count.
process.exit();
