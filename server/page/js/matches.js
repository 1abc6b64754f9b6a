// Football: one card per match, with its score, its clock and the odds of its 1x2 market.
import { flash, make, price, setText } from "./format.js";

export class Matches {
  #cards = new Map();
  #root;
  #empty;

  constructor(root, empty) {
    this.#root = root;
    this.#empty = empty;
  }

  /** Whether this board shows such an instrument. */
  holds({ change }) {
    return change.score !== undefined || change.odds !== undefined || /^SPORT_/.test(change.info?.assetClass ?? "");
  }

  /** Shows a match or its market after a change. */
  show(instrument) {
    const market = instrument.change.odds !== undefined || instrument.change.info?.assetClass === "SPORT_MARKET";
    const name = market ? instrument.symbol.split(".").slice(0, -1).join(".") : instrument.symbol;
    const card = this.#cards.get(name) ?? this.#add(name);
    if (market) showMarket(card, instrument);
    else showMatch(card, instrument);
    // A market closes with its match; whichever says more is what the card looks like.
    const [phase, says] = worst(card.market?.change.status, card.match?.change.status);
    card.element.dataset.phase = phase;
    setText(card.note, says);
  }

  /** Clocks and stale shading. */
  tick(isFresh) {
    const now = performance.now();
    for (const card of this.#cards.values()) {
      showClock(card, now);
      const instrument = card.match ?? card.market;
      card.element.classList.toggle("stale", !isFresh(instrument));
    }
  }

  remove(symbol) {
    for (const [name, card] of this.#cards) {
      if (card.match?.symbol === symbol) card.match = undefined;
      if (card.market?.symbol === symbol) card.market = undefined;
      if (card.match || card.market) continue;
      card.element.remove();
      this.#cards.delete(name);
    }
    this.#empty.hidden = this.#cards.size > 0;
  }

  #add(name) {
    const words = name.split(".");
    const [home, away] = (words.at(-1) ?? name).split("-");
    const card = {
      clock: make("span", { className: "clock" }),
      names: [make("span", { textContent: home }), make("span", { textContent: away ?? "" })],
      goals: [make("b", { textContent: "–" }), make("b", { textContent: "–" })],
      odds: make("div", { className: "odds" }),
      note: make("p", { className: "market" }),
      prices: new Map(),
    };
    card.element = make(
      "article",
      { className: "match" },
      make("header", {}, make("span", { textContent: (words.at(-2) ?? "").toUpperCase() }), card.clock),
      make("div", { className: "sides" }, card.names[0], card.goals[0], card.names[1], card.goals[1]),
      card.odds,
      card.note,
    );
    card.element.dataset.symbol = name;
    this.#cards.set(name, card);
    const after = [...this.#root.children].find((other) => other.dataset.symbol > name);
    this.#root.insertBefore(card.element, after ?? null);
    this.#empty.hidden = true;
    return card;
  }
}

function showMatch(card, instrument) {
  const { change, before } = instrument;
  card.match = instrument;
  card.element.dataset.seq = change.seq;
  const names = change.info?.displayName?.split(/ (?:-|–|v|vs) /);
  if (names?.length === 2) names.forEach((name, side) => setText(card.names[side], name));
  const { home, away, clockS } = change.score ?? {};
  [home, away].forEach((goals, side) => {
    setText(card.goals[side], goals === undefined ? "–" : String(goals));
    const was = side === 0 ? before?.score?.home : before?.score?.away;
    if (was !== undefined && goals !== undefined && goals !== was) flash(card.goals[side], goals - was);
  });
  if (clockS !== before?.score?.clockS || change.score?.clockRunning !== before?.score?.clockRunning) {
    card.clockAt = performance.now();
  }
}

function showClock(card, now) {
  const { score, status } = card.match?.change ?? {};
  const running = Boolean(score?.clockRunning) && !score?.final;
  card.clock.dataset.running = String(running);
  if (score?.final) return setText(card.clock, "Full time");
  if (score?.clockS === undefined) return setText(card.clock, status?.phase === "PRE_OPEN" ? "Not started" : "");
  const seconds = score.clockS + (running ? (now - card.clockAt) / 1000 : 0);
  const half = score.period ? ` · ${["1st", "2nd"][score.period - 1] ?? `${score.period}th`} half` : "";
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (!running && score.clockS === 0) return setText(card.clock, "Not started");
  if (!running && score.period === 1 && score.clockS >= HALF_S) return setText(card.clock, "Half time");
  return setText(card.clock, `${two(seconds / 60)}:${two(seconds % 60)}${half}`);
}

function showMarket(card, instrument) {
  const { change, before } = instrument;
  card.market = instrument;
  card.odds.dataset.symbol = instrument.symbol;
  card.odds.dataset.seq = change.seq;
  for (const outcome of change.odds?.outcomes ?? []) {
    let shown = card.prices.get(outcome.id);
    if (!shown) {
      const name = make("span");
      const value = make("b");
      shown = { name, value, element: make("div", { className: "odd" }, name, value) };
      shown.element.dataset.outcome = outcome.id;
      card.prices.set(outcome.id, shown);
      card.odds.append(shown.element);
    }
    setText(shown.name, change.info?.outcomeNames?.[outcome.id] ?? ["", "1", "X", "2"][outcome.id] ?? `#${outcome.id}`);
    setText(shown.value, outcome.active === false && !outcome.result ? "–" : price(outcome.back ?? outcome.last));
    shown.element.dataset.result = outcome.result ?? "";
    const was = before?.odds?.outcomes.find(({ id }) => id === outcome.id)?.back;
    if (was !== undefined && outcome.back !== undefined && was !== outcome.back) flash(shown.element, outcome.back - was);
  }
}

const LOUDNESS = ["SUSPENDED", "HALTED", "CANCELLED", "SETTLED", "CLOSED", "PRE_OPEN", "AUCTION", "OPEN"];
const SAYS = {
  SUSPENDED: "Suspended",
  HALTED: "Halted",
  CANCELLED: "Cancelled",
  SETTLED: "Settled",
  CLOSED: "Closed",
  PRE_OPEN: "Before kick-off",
  AUCTION: "Auction",
  OPEN: "Match odds",
};

/** The phase that matters most to somebody about to act, and how to say it. */
function worst(...statuses) {
  const known = statuses.filter((status) => LOUDNESS.includes(status?.phase));
  if (known.length === 0) return ["OPEN", "Match odds"];
  const { phase, reason } = known.reduce((a, b) => (LOUDNESS.indexOf(b.phase) < LOUDNESS.indexOf(a.phase) ? b : a));
  const adds = reason && phase !== "OPEN" && reason.toUpperCase() !== phase;
  return [phase, adds ? `${SAYS[phase]}: ${reason}` : SAYS[phase]];
}

/** Length of a half. */
const HALF_S = 45 * 60;
