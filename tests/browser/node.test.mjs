// The npm package in Node, against a real server on each transport and encoding.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { Change, TickwireClient, TickwireError } from "../../sdk-wasm/pkg/node.js";
import { RawClient } from "./raw.mjs";
import { Server, until } from "./server.mjs";

let server;
let raw;

before(async () => {
  server = await new Server().start();
  raw = new RawClient(server.url, ["stock.*"]);
  await until("the independent client is synced", () => raw.synced);
});

after(async () => {
  raw?.close();
  await server?.kill();
});

const ways = [
  { transport: "websocket", encoding: "protobuf", WebSocket },
  { transport: "websocket", encoding: "json", WebSocket },
  { transport: "sse" },
];
for (const way of ways) {
  const name = way.transport === "sse" ? "sse" : `websocket, ${way.encoding}`;

  test(`${name}: a loop gets what was sent`, async () => {
    const client = await TickwireClient.connect(server.url, { ...way, conflateMs: 0 });
    let agreed = 0;
    for await (const change of client.subscribe("stock.*")) {
      assert.ok(change instanceof Change);
      assert.ok(String(change).includes(change.symbol));
      const expected = raw.at(change.symbol, change.seq)?.quote;
      if (!expected || change.kind !== "state") continue;
      const { bid, ask, last } = change.quote;
      assert.deepEqual({ bid, ask, last }, { bid: expected.bid, ask: expected.ask, last: expected.last }, `${change.symbol} at ${change.seq}`);
      assert.equal(change.last, Number(expected.last));
      assert.ok(client.age(change.symbol) >= 0);
      if (++agreed >= 50) break;
    }
    assert.ok(client.stats().records >= agreed);
    client.close();
    assert.equal(client.state, "closed");
  });

  test(`${name}: an unknown symbol is refused, the rest is served`, async () => {
    const client = await TickwireClient.connect(server.url, way);
    const refused = new Promise((resolve) => client.on("refused", resolve));
    const subscription = client.subscribe(["stock.NOBODY", raw.symbols[0]]);
    const { value } = await subscription.next();
    assert.equal(value.symbol, raw.symbols[0]);
    assert.equal((await refused).code, "UNKNOWN_SYMBOL");
    assert.equal(subscription.refused.get("stock.NOBODY"), "UNKNOWN_SYMBOL");
    client.close();
  });
}

test("server-sent events take over where WebSockets are blocked", async () => {
  class Blocked {
    readyState = 0;
    constructor() {
      setTimeout(() => this.onclose({ code: 1006 }));
    }
    close() {}
  }
  const client = await TickwireClient.connect(server.url, { WebSocket: Blocked });
  assert.equal(client.transport, "sse");
  const { value } = await client.subscribe("stock.*").next();
  assert.match(value.symbol, /^stock\./);
  client.close();
});

test("the rate changes while data flows", async () => {
  const client = await TickwireClient.connect(server.url, { WebSocket, conflateMs: 5000 });
  const subscription = client.subscribe("stock.*");
  await subscription.next();
  const before = client.stats().records;
  subscription.setConflation(0);
  await until("records flow", () => client.stats().records > before + 100);
  client.close();
});

test("signals end a subscription and a client", async () => {
  const whole = new AbortController();
  const part = new AbortController();
  const client = await TickwireClient.connect(server.url, { WebSocket, signal: whole.signal });
  const loop = (async () => {
    for await (const change of client.subscribe("stock.*", { signal: part.signal })) assert.ok(change);
    return "ended";
  })();
  await until("records flow", () => client.stats().records > 0);
  part.abort();
  assert.equal(await loop, "ended");
  assert.notEqual(client.state, "closed");
  whole.abort();
  assert.equal(client.state, "closed");
  assert.throws(() => client.subscribe("stock.*"), TickwireError);
});

test("comes back after the server was killed", async () => {
  const client = await TickwireClient.connect(server.url, { WebSocket, heartbeatMs: 500 });
  const states = [];
  client.on("state", ({ state }) => states.push(state));
  const subscription = client.subscribe("crypto.*");
  await subscription.next();
  await server.kill();
  await until("it waits before the next try", () => states.includes("backoff"));
  await server.start();
  await until("it is live again", () => client.state === "live");
  assert.ok((await subscription.next()).value);
  client.close();
});

test("the types describe what applications write", () => {
  const here = new URL(".", import.meta.url).pathname;
  const compiler = `${here}node_modules/typescript/bin/tsc`;
  const args = [compiler, "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable", "--moduleResolution", "bundler"];
  execFileSync(process.execPath, [...args, "--module", "esnext", `${here}types.ts`], { stdio: "inherit" });
});
