// For Node: the module is read from disk. Node 22 has a WebSocket; Node 20 borrows the one of package `ws` if that is installed.
import { readFile } from "node:fs/promises";
import { initSync, Core, Step } from "./tickwire_wasm.js";
import { TickwireClient as Client, provide } from "./client.js";

let ready;
provide(async () => {
  ready ??= readFile(new URL("./tickwire_wasm_bg.wasm", import.meta.url)).then((module) => initSync({ module }));
  await ready;
  return { Core, Step };
});

/** As in browsers, with a WebSocket found for it. */
export class TickwireClient extends Client {
  static async connect(url, options = {}) {
    const needsSocket = options.transport !== "sse" && !options.WebSocket && !globalThis.WebSocket;
    return super.connect(url, needsSocket ? { ...options, WebSocket: await borrowSocket() } : options);
  }
}

async function borrowSocket() {
  try {
    return (await import("ws")).WebSocket;
  } catch {
    throw new Error(
      `Node ${process.versions.node} has no WebSocket: use Node 22, or \`npm install ws\`, or { transport: "sse" }, or { WebSocket: … }`,
    );
  }
}

export { TickwireError } from "./client.js";
export { Subscription } from "./subscription.js";
export { Change } from "./change.js";
