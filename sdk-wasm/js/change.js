// One change as applications see it. Fields hold exact decimals as text; `bid`, `ask` and `last` give the nearest number beside them.

/** @param {string | undefined} exact */
const nearest = (exact) => (exact === undefined ? undefined : Number(exact));

/** The newest state of an instrument, an event with the state after it, or a gap in the events. See index.d.ts. */
export class Change {
  constructor(fields, info) {
    this.kind = fields.kind;
    this.symbol = fields.symbol;
    this.seq = fields.seq;
    this.tsEventUs = fields.tsEventUs;
    this.merged = fields.merged;
    this.quote = fields.quote;
    this.status = fields.status;
    this.score = fields.score;
    this.odds = fields.odds;
    this.bars = fields.bars;
    this.event = fields.event;
    this.from = fields.from;
    this.to = fields.to;
    this.info = info;
  }

  get bid() {
    return nearest(this.quote?.bid);
  }

  get ask() {
    return nearest(this.quote?.ask);
  }

  get last() {
    return nearest(this.quote?.last);
  }

  get phase() {
    return this.status?.phase;
  }

  /** The same line as the Rust SDK prints. */
  toString() {
    if (this.kind === "gap") return `[events lost between ${this.from} and ${this.to}] ${this.symbol}`;
    let line = this.event ? `${describeEvent(this.event)}${this.symbol}` : this.symbol;
    for (const name of ["bid", "ask", "last"]) {
      if (this.quote?.[name] !== undefined) line += ` ${name} ${this.quote[name]}`;
    }
    if (this.score) line += describeScore(this.score);
    for (const outcome of this.odds?.outcomes ?? []) {
      const name = this.info?.outcomeNames?.[outcome.id] ?? `#${outcome.id}`;
      line += ` ${name} ${outcome.back ?? "-"}/${outcome.lay ?? "-"}`;
    }
    if (this.phase && this.phase !== "TRADING_PHASE_UNSPECIFIED") line += ` ${this.phase}`;
    return line;
  }
}

/** Changes from the core's text. Infos cross once: `infos` keeps them by symbol. */
export function readChanges(text, infos) {
  return JSON.parse(text).map((fields) => readChange(fields, infos));
}

/** One change from fields that the core wrote. */
export function readChange(fields, infos) {
  if (fields.info) infos.set(fields.symbol, fields.info);
  return new Change(fields, infos.get(fields.symbol));
}

function describeEvent({ status, trade, bar, score, odds }) {
  if (status) return `[${status.phase}${status.reason ? `: ${status.reason}` : ""}] `;
  if (trade) return `[${trade.bust ? "bust" : trade.correction ? "correction" : "trade"} ${trade.quantity} @ ${trade.price}] `;
  if (bar) return `[bar ${bar.lengthS} s closed at ${bar.close}] `;
  return score ? "[score] " : odds ? "[odds] " : "[quote] ";
}

function describeScore({ home, away, clockS, final }) {
  const two = (number) => String(number).padStart(2, "0");
  const goals = home !== undefined && away !== undefined ? ` ${home}-${away}` : "";
  const clock = clockS !== undefined ? ` ${two(Math.floor(clockS / 60))}:${two(clockS % 60)}` : "";
  return `${goals}${clock}${final ? " final" : ""}`;
}
