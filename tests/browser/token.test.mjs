// The npm package against a server that asks for tokens.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { TickwireClient, TickwireError } from "../../sdk-wasm/pkg/node.js";
import { Server, until } from "./server.mjs";

const key = randomBytes(32).toString("hex");
let server;

before(async () => {
  server = await new Server({
    TICKWIRE_AUTH__ANONYMOUS__SYMBOLS: "",
    TICKWIRE_AUTH__JWT__KEYS__0__ALG: "HS256",
    TICKWIRE_AUTH__JWT__KEYS__0__ENV: "TEST_KEY",
    TEST_KEY: key,
  }).start();
});

after(() => server?.kill());

/** A token for these patterns that lives for `seconds`. */
function token(symbols, seconds) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: "test", iat: now, exp: now + seconds, symbols })}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

const refusedFor = (code) => (error) => error instanceof TickwireError && error.code === code;

test("without a token the connection is refused for good", async () => {
  await assert.rejects(TickwireClient.connect(server.url, { WebSocket }), refusedFor("AUTH_REQUIRED"));
});

test("a forged token is refused for good", async () => {
  const forged = `${token(["#"], 60).slice(0, -4)}AAAA`;
  await assert.rejects(TickwireClient.connect(server.url, { WebSocket, token: forged }), refusedFor("AUTH_INVALID"));
});

test("server-sent events: a refusal ends the loop with its reason", async () => {
  const client = await TickwireClient.connect(server.url, { transport: "sse" });
  await assert.rejects(client.subscribe("stock.*").next(), refusedFor("AUTH_REQUIRED"));
  assert.equal(client.state, "closed");
});

for (const transport of ["websocket", "sse"]) {
  test(`${transport}: a token opens what it names, and nothing else`, async () => {
    const client = await TickwireClient.connect(server.url, { WebSocket, transport, token: token(["stock.*"], 60) });
    const refused = new Promise((resolve) => client.on("refused", resolve));
    const { value } = await client.subscribe(["stock.AAPL", "crypto.BTC-USD"]).next();
    assert.equal(value.symbol, "stock.AAPL");
    assert.deepEqual({ ...(await refused), subscription: undefined }, { symbol: "crypto.BTC-USD", code: "NOT_ENTITLED", subscription: undefined });
    client.close();
  });
}

test("a token that runs out is renewed in place", async () => {
  let asked = 0;
  const tokenProvider = async () => {
    asked += 1;
    return token(["stock.*"], 5);
  };
  const client = await TickwireClient.connect(server.url, { WebSocket, tokenProvider });
  const subscription = client.subscribe("stock.*");
  await until("it was asked three times", () => asked >= 3);
  assert.ok((await subscription.next()).value);
  assert.equal(client.stats().connects, 1);
  client.close();
});
