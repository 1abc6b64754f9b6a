// An independent client: the documented JSON of the wire over a WebSocket, merged by hand. It shares no code with the SDK.
import { WebSocket } from "ws";

export class RawClient {
  /** By symbol, the state after each position. */
  #history = new Map();
  #state = new Map();
  #socket;
  synced = false;

  constructor(url, symbols) {
    this.#socket = new WebSocket(`${url.replace("http", "ws")}v1/ws`, ["tickwire.v1.json"]);
    this.#socket.on("open", () => {
      this.#send({ hello: { protocol: 1, sdk: "raw" } });
      const items = symbols.map((symbol) => (/[*#]/.test(symbol) ? { pattern: symbol, conflate_ms: 0 } : { symbol, conflate_ms: 0 }));
      this.#send({ request_id: 1, subscribe: { items } });
    });
    this.#socket.on("message", (data) => this.#take(JSON.parse(data.toString())));
    // Tests see a lost connection by what is missing.
    this.#socket.on("error", () => {});
  }

  get symbols() {
    return [...this.#history.keys()];
  }

  /** What the instrument was right after position `seq`, if this client was told. */
  at(symbol, seq) {
    return this.#history.get(symbol)?.get(String(seq));
  }

  close() {
    this.#socket.terminate();
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #take(frame) {
    if (frame.snapshot_complete) this.synced = true;
    for (const { symbol, seq, flags = [], quote, score, odds } of frame.updates ?? []) {
      const state = this.#state.get(symbol) ?? {};
      const image = flags.includes("IMAGE");
      if (quote) state.quote = merge(image ? {} : state.quote, quote);
      if (score) state.score = merge(image ? {} : state.score, score);
      if (odds) state.odds = mergeOdds(image ? undefined : state.odds, odds);
      this.#state.set(symbol, state);
      const history = this.#history.get(symbol) ?? new Map();
      this.#history.set(symbol, history.set(seq, structuredClone(state)));
    }
  }
}

/** Absent is unchanged, null is unknown. */
function merge(known = {}, delta) {
  const merged = { ...known, ...delta };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
}

function mergeOdds(known = { outcomes: {} }, { outcomes = [] }) {
  const merged = { ...known.outcomes };
  for (const outcome of outcomes) merged[outcome.id] = merge(merged[outcome.id], outcome);
  return { outcomes: merged };
}
