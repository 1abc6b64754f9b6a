// The real server, started and killed by these tests. TICKWIRE names the binary.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** `tickwire demo` on a free port, or on the one it had before. */
export class Server {
  #child;
  #environment;
  port = 0;

  constructor(environment = {}) {
    this.#environment = { ...process.env, ...environment };
  }

  async start(args = []) {
    const binary = process.env.TICKWIRE;
    if (!binary) throw new Error("TICKWIRE has to name the server's binary");
    const child = spawn(binary, ["demo", "--listen", `127.0.0.1:${this.port}`, ...args], {
      env: this.#environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    const [line] = await Promise.race([once(lines, "line"), once(child, "exit").then(() => ["it ended"])]);
    const port = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1];
    if (!port) throw new Error(`the server did not come up: ${line}`);
    this.port = Number(port);
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Ends it at once, as a crash would. */
  async kill() {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}

/** Asks `condition` until it gives something, for at most `ms`. */
export async function until(what, condition, ms = 30_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
