// What the page knows: the newest change of each instrument, and a short history of its price.

export class Store {
  #instruments = new Map();

  /** Takes one change; gives the instrument it belongs to, with what it was before. */
  apply(change) {
    if (change.kind === "gap" || change.kind === "unknown") return undefined;
    let instrument = this.#instruments.get(change.symbol);
    if (!instrument) {
      instrument = { symbol: change.symbol, change: undefined, before: undefined, history: new History() };
      this.#instruments.set(change.symbol, instrument);
    }
    instrument.before = instrument.change;
    instrument.change = change;
    const value = change.last ?? middle(change);
    if (value !== undefined) instrument.history.push(performance.now(), value);
    return instrument;
  }

  get(symbol) {
    return this.#instruments.get(symbol);
  }

  delete(symbol) {
    this.#instruments.delete(symbol);
  }

  values() {
    return this.#instruments.values();
  }
}

/** Prices over the last minutes, at most one per quarter of a second: the newest. */
class History {
  times = [];
  values = [];

  push(now, value) {
    const slot = Math.floor(now / SLOT_MS);
    const last = this.times.length - 1;
    if (last >= 0 && Math.floor(this.times[last] / SLOT_MS) === slot) {
      this.values[last] = value;
      return;
    }
    this.times.push(now);
    this.values.push(value);
    if (this.times.length > POINTS_MAX) {
      this.times.splice(0, POINTS_MAX / 4);
      this.values.splice(0, POINTS_MAX / 4);
    }
  }
}

/** Whether a pattern in AMQP's topic grammar names `symbol`: `*` is one word, `#` is zero or more. */
export function matches(pattern, symbol) {
  const match = (words, names) => {
    if (words.length === 0) return names.length === 0;
    const [word, ...rest] = words;
    if (word === "#") return match(rest, names) || (names.length > 0 && match(words, names.slice(1)));
    return names.length > 0 && (word === "*" || word === names[0]) && match(rest, names.slice(1));
  };
  return match(pattern.split("."), symbol.split("."));
}

function middle({ bid, ask }) {
  return bid !== undefined && ask !== undefined ? (bid + ask) / 2 : undefined;
}

/** Milliseconds between two points of a history. */
const SLOT_MS = 250;
/** Points per instrument: five minutes. Older ones go, a quarter at a time. */
const POINTS_MAX = 1200;
