// Run after every `npm install`: adds the optional platform packages that the registry in use did not serve to package-lock.json.
// Why: some mirrors carry the Linux builds only. npm then leaves the others out of the lock file, and `npm ci` refuses the
// file as incomplete on every machine. An entry with os, cpu and libc is all npm needs to skip what is not for this machine.
import { readFileSync, writeFileSync } from 'node:fs';

const file = 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8'));
const OS = ['android', 'darwin', 'linux', 'win32', 'freebsd', 'openbsd', 'netbsd', 'sunos', 'aix', 'openharmony'];
const CPU = ['arm64', 'arm', 'x64', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el', 'wasm32'];

/** @type {(from: string, name: string) => boolean} */
const isThere = (from, name) => {
  for (let at = from; ; ) {
    if (lock.packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`]) return true;
    const cut = at.lastIndexOf('node_modules/');
    if (cut < 0) return false;
    at = at.slice(0, Math.max(0, cut - 1));
  }
};

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isThere(path, name)) continue;
    const words = name.split(/[-/.@]/);
    const os = OS.find((candidate) => words.includes(candidate)) ?? 'none';
    const cpu = CPU.find((candidate) => words.includes(candidate) || words.includes(`${candidate}le`)) ?? 'none';
    const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : words.includes('gnu') ? 'glibc' : undefined;
    lock.packages[`node_modules/${name}`] = {
      version: version.replace(/^[~^]/, ''),
      cpu: [cpu],
      dev: entry.dev,
      ...(libc && { libc: [libc] }),
      optional: true,
      os: [os],
    };
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} platform packages added to ${file}`);
