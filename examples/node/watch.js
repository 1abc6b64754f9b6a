// Prints every change of some symbols. First `cargo xtask wasm` and `cargo xtask demo`, then here:
//
//   npm install && node watch.js stock.AAPL 'crypto.*'
import { TickwireClient } from "@tickwire/client";

const url = process.env.TICKWIRE_URL ?? "http://127.0.0.1:7447/";
const symbols = process.argv.length > 2 ? process.argv.slice(2) : ["stock.*"];

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

// On Node 20 the package finds `ws` by itself only when both are installed from the registry; given here, it works from a checkout too.
const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;
const client = await TickwireClient.connect(url, { conflateMs: 250, signal: stop.signal, WebSocket });
client.on("state", ({ state, code, reason }) => console.error(["state:", state, code, reason].filter(Boolean).join(" ")));
client.on("feed", ({ feed, health, reason }) => console.error(`feed ${feed}: ${health} ${reason ?? ""}`));
client.on("refused", ({ symbol, code }) => console.error(`${symbol} was refused: ${code}`));

for await (const change of client.subscribe(symbols)) console.log(String(change));
