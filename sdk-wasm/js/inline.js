// For hosts that cannot serve .wasm: the module is text in `module.inline.js`.
import { initSync, Core, Step } from "./tickwire_wasm.js";
import { provide } from "./client.js";

let ready;
provide(async () => {
  ready ??= decode();
  await ready;
  return { Core, Step };
});

async function decode() {
  const { default: text } = await import("./module.inline.js");
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  initSync({ module: await WebAssembly.compile(bytes) });
}

export { TickwireClient, TickwireError } from "./client.js";
export { Subscription } from "./subscription.js";
export { Change } from "./change.js";
