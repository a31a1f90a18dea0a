import { type ChildProcess, spawn } from 'node:child_process';

/** An npm script that runs, in a process group of its own. */
export interface RunningScript {
  /** Lines of standard output so far. */
  readonly lines: readonly string[];
  /** Standard error so far. */
  readonly errors: string;
  /** When it has ended, by whosever hand. */
  readonly ended: Promise<void>;
  /** The first match in a line, as soon as there is one. Rejects when the script ends before. */
  match(pattern: RegExp): Promise<RegExpExecArray>;
  /** `SIGKILL` to the whole group: npm, its shell and what runs in it. Resolves when all of it is gone. */
  kill(): Promise<void>;
}

/** Starts `npm run <script>` in `directory`. */
export function runScript(script: string, directory: string, env: Readonly<Record<string, string>>): RunningScript {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn('npm', ['run', '--silent', script], {
    cwd: directory,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  return new Script(script, child);
}

class Script implements RunningScript {
  readonly lines: string[] = [];
  readonly ended: Promise<void>;
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<(line: string) => void>();
  #errors = '';
  #rest = '';

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    // 'close', not 'exit': then everybody who had the pipes is gone.
    this.ended = new Promise((resolve) => child.once('close', () => resolve()));
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#errors += chunk;
    });
  }

  get errors(): string {
    return this.#errors;
  }

  async match(pattern: RegExp): Promise<RegExpExecArray> {
    const found = new Promise<RegExpExecArray>((resolve) => {
      const look = (line: string) => {
        const match = pattern.exec(line);
        if (match === null) return;
        this.#listeners.delete(look);
        resolve(match);
      };
      this.#listeners.add(look);
      this.lines.forEach(look);
    });
    const ended = this.ended.then(() => {
      throw new Error(`npm run ${this.#name} ended: ${this.#errors.trim() || 'it said nothing'}`);
    });
    return Promise.race([found, ended]);
  }

  async kill(): Promise<void> {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (error) {
      // It is gone already.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
    await this.ended;
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.lines.push(line);
      for (const listener of this.#listeners) listener(line);
    }
  }
}
