// The chosen instrument: its price over the last minutes, and the day's figures.
import { colour, compact, flash, make, percent, price, setText, showDelta } from "./format.js";

export class Detail {
  #root;
  #name;
  #symbol;
  #last;
  #delta;
  #chart;
  #plot;
  #facts = new Map();
  #instrument;
  #dirty = false;
  #drawnAt = 0;

  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`);
    this.#root = root;
    this.#name = find("detail-name");
    this.#symbol = find("detail-symbol");
    this.#last = find("detail-last");
    this.#delta = find("detail-change");
    this.#chart = find("chart");
    for (const title of ["Bid", "Ask", "Spread", "Volume", "Open", "High", "Low", "Previous"]) {
      const value = make("dd", { textContent: "–" });
      find("facts").append(make("div", {}, make("dt", { textContent: title }), value));
      this.#facts.set(title, value);
    }
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#chart);
  }

  /** Shows another instrument, or none. */
  choose(instrument) {
    this.#instrument = instrument;
    this.#root.dataset.symbol = instrument?.symbol ?? "";
    this.restyle();
    if (instrument) this.show(instrument);
  }

  /** Shows a change, if it is of the chosen instrument. */
  show(instrument) {
    if (instrument !== this.#instrument) return;
    const { change, before } = instrument;
    const quote = change.quote ?? {};
    setText(this.#name, change.info?.displayName ?? instrument.symbol);
    setText(this.#symbol, [instrument.symbol, change.info?.currency].filter(Boolean).join(" · "));
    setText(this.#last, price(quote.last));
    showDelta(this.#delta, percent(change.last, Number(quote.previousClose ?? quote.open)));
    if (before && before.symbol === change.symbol && before.last !== change.last) flash(this.#last, change.last - before.last);
    const places = change.info?.priceScale ?? 2;
    const spread = change.bid !== undefined && change.ask !== undefined ? (change.ask - change.bid).toFixed(places) : undefined;
    const facts = {
      Bid: price(quote.bid),
      Ask: price(quote.ask),
      Spread: price(spread),
      Volume: compact(quote.volume),
      Open: price(quote.open),
      High: price(quote.high),
      Low: price(quote.low),
      Previous: price(quote.previousClose),
    };
    for (const [title, text] of Object.entries(facts)) setText(this.#facts.get(title), text);
    this.#dirty = true;
  }

  /** Draws what came since, at most four times a second. */
  tick(isFresh) {
    const old = Boolean(this.#instrument) && !isFresh(this.#instrument);
    for (const part of [this.#last, this.#delta, this.#chart]) part.classList.toggle("stale", old);
    const now = performance.now();
    if (!this.#instrument || (!this.#dirty && now - this.#drawnAt < 1000)) return;
    this.#dirty = false;
    this.#drawnAt = now;
    this.#plot ??= this.#makePlot();
    const { times, values } = this.#instrument.history;
    const origin = (Date.now() - now) / 1000;
    this.#plot.setData([times.map((time) => origin + time / 1000), values]);
    // At least a minute wide, so that the first points do not race across the chart.
    const right = Date.now() / 1000;
    this.#plot.setScale("x", { min: Math.min(right - 60, origin + (times[0] ?? now) / 1000), max: right });
  }

  /** Colours come from the theme: a new plot takes the new ones. */
  restyle() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#dirty = true;
  }

  #size() {
    return { width: this.#chart.clientWidth, height: this.#chart.clientHeight };
  }

  #makePlot() {
    const places = this.#instrument.change?.info?.priceScale ?? 2;
    const font = `12px ${colour("--font")}`;
    const axis = { stroke: colour("--faint"), font, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
    const options = {
      ...this.#size(),
      cursor: { y: false, points: { size: 7 } },
      legend: { show: false },
      padding: [10, 4, 0, 14],
      scales: { x: { time: true, auto: false }, y: { range: (plot, low, high) => padded(low, high, places) } },
      axes: [
        { ...axis, size: 28, space: 70, grid: { show: false }, values: (plot, ticks) => ticks.map(clockTime) },
        { ...axis, side: 1, size: (plot, texts) => Math.max(...(texts ?? [""]).map((text) => text.length)) * 7.2 + 12, gap: 6, space: 44,
          values: (plot, ticks) => ticks.map((tick) => price(tick.toFixed(places))) },
      ],
      series: [
        {},
        { stroke: colour("--accent"), width: 1.75, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
          fill: `color-mix(in srgb, ${colour("--accent")} 12%, transparent)` },
      ],
    };
    return new uPlot(options, [[], []], this.#chart);
  }
}

/** A tenth of air above and below; a flat line stays in the middle. */
function padded(low, high, places) {
  if (low === null || high === null) return [0, 1];
  const air = Math.max((high - low) * 0.12, 4 * 10 ** -places);
  return [low - air, high + air];
}

function clockTime(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}
