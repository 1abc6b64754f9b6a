// The golden vectors of the wire, read by the npm package: both encodings of a frame give the same changes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { Core, Step, initSync } from "../../sdk-wasm/pkg/tickwire_wasm.js";

const root = new URL("../../", import.meta.url);
initSync({ module: await readFile(new URL("sdk-wasm/pkg/tickwire_wasm_bg.wasm", root)) });
const { cases } = JSON.parse(await readFile(new URL("proto/vectors/server.json", root), "utf8"));
const named = (name) => cases.find((one) => one.name === name);

/** The answer to a subscription to everything, `#`, which has request id 1. */
const granted = {
  protobuf: "08004a07080112030a0123",
  json: { ts_send_us: "0", subscribe_ack: { request_id: 1, results: [{ symbol: "#", conflate_ms: 0 }] } },
};

/** What an application reads when this frame follows the welcome and the infos. */
function read(frame, json) {
  const core = new Core("vectors", json, undefined, 5000, undefined, false, 1);
  const events = [];
  const drain = () => {
    for (let step = core.poll(); step !== Step.Wait; step = core.poll()) {
      if (step === Step.Event) events.push(JSON.parse(core.take_text()));
    }
  };
  let cseq = 0;
  const take = (one) => {
    // Frames of a connection are counted. In protobuf the count is the first field: a tag and, here, one byte.
    cseq += 1;
    if (json) core.frame_text(2, JSON.stringify({ ...one.json, cseq: String(cseq) }));
    else core.frame(2, Buffer.from(one.protobuf.replace(/^08../, `080${cseq}`), "hex"));
    drain();
  };
  const subscription = core.subscribe(0, ["#"], 0, true);
  core.connect(0);
  drain();
  core.opened(1);
  drain();
  for (const before of [named("welcome"), granted, named("infos"), named("snapshot_complete")]) take(before);
  events.length = 0;
  take(frame);
  const changes = JSON.parse(core.changes(subscription, 100) ?? "[]");
  core.free();
  return { changes, events };
}

for (const frame of cases) {
  test(`${frame.name} reads the same from protobuf and from JSON`, () => {
    const fromJson = read(frame, true);
    assert.deepEqual(fromJson, read(frame, false));
    // The infos announce all instruments but this one.
    const isKnown = frame.json.updates?.some(({ id }) => id !== 20);
    if (isKnown) assert.ok(fromJson.changes.length > 0, "nothing was read");
  });
}

test("an image is read to the last digit", () => {
  const { changes } = read(named("quote_image"), false);
  assert.equal(changes.length, 1);
  const { symbol, quote, info } = changes[0];
  const { bid, ask, last, volume } = named("quote_image").json.updates[0].quote;
  assert.equal(symbol, "stock.AAPL");
  assert.deepEqual({ bid: quote.bid, ask: quote.ask, last: quote.last, volume: quote.volume }, { bid, ask, last, volume });
  assert.equal(info.displayName, "Apple Inc.");
});

test("a halt is an event", () => {
  const { changes } = read(named("status_halted"), true);
  assert.equal(changes[0].kind, "event");
  assert.equal(changes[0].event.status.phase, "HALTED");
});

test("events of the server reach the application", () => {
  assert.deepEqual(read(named("notice"), false).events, [{ type: "notice", kind: "SLOW", text: "the link is slow" }]);
  assert.equal(read(named("error_of_a_request"), false).events[0].code, "RATE_LIMITED");
});
