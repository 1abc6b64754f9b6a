// The watch list: one row per instrument that has prices, grouped by kind, with a sparkline.
import { colour, compact, flash, make, percent, price, setText, showDelta, span } from "./format.js";

const GROUPS = [
  { title: "Stocks", holds: ({ assetClass }) => assetClass === "STOCK" },
  { title: "Crypto", holds: ({ assetClass }) => assetClass === "CRYPTO" },
  { title: "More", holds: () => true },
];

export class WatchList {
  #table;
  #empty;
  #bodies;
  #rows = new Map();
  #selected;
  #onSelect;

  constructor(table, empty, onSelect) {
    this.#table = table;
    this.#empty = empty;
    this.#onSelect = onSelect;
    this.#bodies = GROUPS.map(({ title }) => {
      const heading = make("tr", {}, make("th", { scope: "rowgroup", textContent: title }));
      const body = make("tbody", { hidden: true }, heading);
      this.#table.append(body);
      return body;
    });
  }

  get selected() {
    return this.#selected;
  }

  /** Shows an instrument after a change. */
  show(instrument) {
    const row = this.#rows.get(instrument.symbol) ?? this.#add(instrument);
    const { change, before } = instrument;
    row.element.dataset.seq = change.seq;
    setText(row.bid, price(change.quote?.bid));
    setText(row.ask, price(change.quote?.ask));
    setText(row.last, price(change.quote?.last));
    setText(row.volume, compact(change.quote?.volume));
    showDelta(row.delta, percent(change.last, Number(change.quote?.previousClose ?? change.quote?.open)));
    const phase = change.phase;
    setText(row.phase, phase && phase !== "OPEN" && phase !== "TRADING_PHASE_UNSPECIFIED" ? phase : "");
    row.phase.hidden = row.phase.textContent === "";
    if (before?.last !== undefined && change.last !== undefined && change.last !== before.last) {
      flash(row.last, change.last - before.last);
    }
    row.dirty = true;
  }

  /** Ages, stale shading, and the sparklines of rows that changed. */
  tick(client, isFresh) {
    const now = performance.now();
    for (const [symbol, row] of this.#rows) {
      setText(row.age, span(client.age(symbol)));
      row.element.classList.toggle("stale", !isFresh(row.instrument));
      if (row.dirty || now - row.drawnAt > 1000) drawSpark(row, now);
    }
  }

  select(symbol) {
    this.#rows.get(this.#selected)?.element.setAttribute("aria-current", "false");
    this.#selected = symbol;
    this.#rows.get(symbol)?.element.setAttribute("aria-current", "true");
    this.#onSelect(symbol);
  }

  remove(symbol) {
    this.#rows.get(symbol)?.element.remove();
    this.#rows.delete(symbol);
    this.#tidy();
    if (this.#selected === symbol) this.select(this.#rows.keys().next().value);
  }

  redraw() {
    for (const row of this.#rows.values()) row.dirty = true;
  }

  #add(instrument) {
    const { symbol, change } = instrument;
    const cell = (name, ...children) => make("td", { className: name }, ...children);
    const phase = make("em", { hidden: true });
    const title = make("b", { textContent: change.info?.displayName ?? symbol });
    const canvas = make("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const parts = {
      bid: cell("num bid"),
      ask: cell("num ask"),
      last: make("b"),
      delta: make("span", { className: "delta" }),
      volume: cell("num volume"),
      age: cell("num age"),
    };
    const element = make(
      "tr",
      { className: "row" },
      cell("name", make("button", { type: "button" }, title, make("span", {}, phase, symbol))),
      cell("spark", canvas),
      parts.bid,
      parts.ask,
      cell("num last", parts.last),
      cell("num change", parts.delta),
      parts.volume,
      parts.age,
    );
    element.dataset.symbol = symbol;
    element.setAttribute("aria-current", String(symbol === this.#selected));
    element.addEventListener("click", () => this.select(symbol));
    const row = { ...parts, element, phase, canvas, instrument, dirty: true, drawnAt: 0 };
    this.#rows.set(symbol, row);
    this.#place(element, change.info ?? {});
    this.#tidy();
    if (this.#selected === undefined) this.select(symbol);
    return row;
  }

  /** In its group, by symbol, so that rows do not jump. */
  #place(element, info) {
    const body = this.#bodies[GROUPS.findIndex(({ holds }) => holds(info))];
    const after = [...body.querySelectorAll("tr.row")].find((other) => other.dataset.symbol > element.dataset.symbol);
    body.insertBefore(element, after ?? null);
  }

  #tidy() {
    for (const body of this.#bodies) body.hidden = body.children.length === 1;
    this.#empty.hidden = this.#rows.size > 0;
  }
}

/** The last minute as a line, coloured by where it went. */
function drawSpark(row, now) {
  const { canvas, instrument } = row;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0) return;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  row.dirty = false;
  row.drawnAt = now;

  const { times, values } = instrument.history;
  let from = times.length;
  while (from > 0 && times[from - 1] > now - SPARK_MS) from -= 1;
  // The point before the window keeps the line from starting in the air.
  from = Math.max(0, from - 1);
  const shown = values.slice(from);
  if (shown.length === 0) return;
  const low = Math.min(...shown);
  const high = Math.max(...shown);
  const x = (time) => Math.max(0, width - ((now - time) / SPARK_MS) * width);
  const y = (value) => (high === low ? height / 2 : height - 3 - ((value - low) / (high - low)) * (height - 6));
  pen.beginPath();
  shown.forEach((value, index) => pen.lineTo(x(times[from + index]), y(value)));
  pen.lineTo(width, y(shown.at(-1)));
  const way = shown.at(-1) - shown[0];
  pen.strokeStyle = colour(way > 0 ? "--up" : way < 0 ? "--down" : "--faint");
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
}

/** Width of a sparkline in time. */
const SPARK_MS = 60_000;
