// What one `subscribe` brings: a latest-value table and a queue of what changed, never a backlog. See index.d.ts.
export class Subscription {
  #source;
  #waiting = [];
  #ended;
  #frame;
  #frameListener;
  #refused = new Map();

  /** `source` asks the core: take, latest, setConflation, unsubscribe. */
  constructor(source) {
    this.#source = source;
  }

  get refused() {
    return this.#refused;
  }

  latest(symbol) {
    return this.#source.latest(symbol);
  }

  setConflation(conflateMs) {
    if (!this.#ended) this.#source.setConflation(conflateMs);
  }

  unsubscribe() {
    if (this.#ended) return;
    this.#source.unsubscribe();
    this._end();
  }

  /** All that changed since the last call, in one crossing of the border to WASM. */
  take(max = BATCH_MAX) {
    return this.#ended ? [] : this.#source.take(max);
  }

  onFrame(listener) {
    this.#frameListener = listener;
    this._wake();
    return () => {
      if (this.#frameListener === listener) this.#frameListener = undefined;
    };
  }

  /** One change at a time, fetched when the application asks: always the newest, however slowly it reads. */
  async next() {
    if (this.#ended) return this.#last();
    const [value] = this.#source.take(1);
    if (value) return { done: false, value };
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async return() {
    this.unsubscribe();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  // ---- for the client only ----

  /** Changes are there. */
  _wake() {
    while (this.#waiting.length > 0) {
      const [value] = this.#source.take(1);
      if (!value) break;
      this.#waiting.shift().resolve({ done: false, value });
    }
    if (!this.#frameListener || this.#frame !== undefined) return;
    this.#frame = nextFrame(() => {
      this.#frame = undefined;
      const changes = this.#frameListener ? this.take() : [];
      if (changes.length === 0) return;
      // More than a batch: the rest comes with the next frame.
      if (changes.length === BATCH_MAX) this._wake();
      this.#frameListener(changes);
    });
  }

  _refuse({ symbol, code }) {
    this.#refused.set(symbol, code);
  }

  _end(error) {
    if (this.#ended) return;
    this.#ended = { error };
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error) reject(error);
      else resolve({ done: true, value: undefined });
    }
  }

  #last() {
    if (this.#ended.error) throw this.#ended.error;
    return { done: true, value: undefined };
  }
}

/** The next animation frame; where nothing is drawn, 16 ms later. */
function nextFrame(run) {
  const draws = typeof requestAnimationFrame === "function" && !globalThis.document?.hidden;
  return draws ? requestAnimationFrame(run) : setTimeout(run, 16);
}

/** Changes in one batch. What does not fit comes with the next. */
const BATCH_MAX = 4096;
