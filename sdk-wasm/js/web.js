// For browsers, workers and bundlers: the module lies beside this file.
import init, { Core, Step } from "./tickwire_wasm.js";
import { provide } from "./client.js";

let ready;
provide(async () => {
  // Spelled out, because bundlers look for exactly this.
  ready ??= init({ module_or_path: new URL("./tickwire_wasm_bg.wasm", import.meta.url) });
  // A failed download is tried again by the next connect.
  await ready.catch((error) => {
    ready = undefined;
    throw error;
  });
  return { Core, Step };
});

export { TickwireClient, TickwireError } from "./client.js";
export { Subscription } from "./subscription.js";
export { Change } from "./change.js";
