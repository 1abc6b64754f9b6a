// Wires the page together: one client, one subscription per target, and a clock for ages.
import { make, onTheme } from "./format.js";
import { Detail } from "./detail.js";
import { Matches } from "./matches.js";
import { ReadOut, StatusBar } from "./status.js";
import { Store, matches } from "./store.js";
import { WatchList } from "./watchlist.js";

const find = (selector) => document.querySelector(selector);
const store = new Store();
const status = new StatusBar();
const readOut = new ReadOut();
const detail = new Detail(find("#detail"));
const watchList = new WatchList(find("#watchlist"), find("#watch-empty"), (symbol) => detail.choose(store.get(symbol)));
const board = new Matches(find("#matches"), find("#matches-empty"));
const targets = new Map();
let client;

start();

async function start() {
  const sdk = await import("../sdk/web.js").catch(() => undefined);
  if (!sdk) return explain();
  client = await sdk.TickwireClient.connect(new URL(".", location.href), { conflateMs: kept("conflate", 250), wait: false });
  client.on("state", (event) => {
    status.state(event);
    // At once: nothing may look fresh after the connection is lost.
    tick();
  });
  client.on("refused", refuse);
  status.state({ state: client.state });
  for (const target of ["stock.*", "crypto.*", "soccer.#"]) add(target);
  // For the developer's console.
  globalThis.tickwire = client;
  setInterval(tick, TICK_MS);
  setInterval(() => readOut.tick(client), 500);
}

/** The page is there but its SDK is not: says how to build it. */
function explain() {
  const banner = find("#banner");
  banner.hidden = false;
  banner.append("The browser SDK is not part of this build. Run ", make("code", { textContent: "cargo xtask wasm" }), " and build the server again.");
  find("#state-text").textContent = "SDK missing";
}

// ---- subscriptions ----

function add(target) {
  const subscription = client.subscribe(target);
  targets.set(target, subscription);
  subscription.onFrame((changes) => changes.forEach(show));
  const drop = make("button", { type: "button", textContent: "×", ariaLabel: `Stop ${target}` });
  drop.addEventListener("click", () => remove(target));
  const item = make("li", { textContent: target }, drop);
  item.dataset.target = target;
  find("#targets").append(item);
}

function remove(target) {
  targets.get(target)?.unsubscribe();
  targets.delete(target);
  find(`#targets [data-target="${CSS.escape(target)}"]`)?.remove();
  for (const { symbol } of [...store.values()]) {
    if ([...targets.keys()].some((other) => matches(other, symbol))) continue;
    store.delete(symbol);
    watchList.remove(symbol);
    board.remove(symbol);
  }
}

function show(change) {
  const instrument = store.apply(change);
  if (!instrument) return;
  if (board.holds(instrument)) {
    board.show(instrument);
  } else {
    watchList.show(instrument);
    detail.show(instrument);
  }
}

const WHY = {
  UNKNOWN_SYMBOL: "no instrument has this name",
  BAD_SYMBOL: "this is not a symbol or pattern: words of A–Z a–z 0–9 _ % : / + - joined by dots, * for one word, # for any",
  NOT_ENTITLED: "your token does not cover it",
  TOO_MANY_SUBSCRIPTIONS: "there are too many subscriptions",
};

function refuse({ symbol, code }) {
  say(`${symbol}: ${WHY[code] ?? "refused"} (${code})`);
  remove(symbol);
}

function say(text) {
  const error = find("#add-error");
  error.textContent = text;
  error.hidden = text === "";
  find("#add-input").setAttribute("aria-invalid", String(text !== ""));
}

find("#add").addEventListener("submit", (event) => {
  event.preventDefault();
  const target = find("#add-input").value.trim();
  say("");
  if (target === "" || !client) return;
  if (targets.has(target)) return say(`${target} is on the list already`);
  find("#add-input").value = "";
  add(target);
});

// ---- rate ----

const RATES = [0, 50, 100, 250, 500, 1000, 2000, 5000];
for (const ms of RATES) {
  const input = make("input", { type: "radio", name: "rate", value: String(ms), checked: ms === kept("conflate", 250) });
  input.addEventListener("change", () => {
    keep("conflate", ms);
    for (const subscription of targets.values()) subscription.setConflation(ms);
  });
  const text = ms === 0 ? "all" : ms < 1000 ? String(ms) : `${ms / 1000} s`;
  const label = make("label", { title: ms === 0 ? "Every change" : `${ms} ms` }, input, make("span", { textContent: text }));
  find("#segments").append(label);
}

// ---- clock and theme ----

/** Whether what an instrument shows is what its feed has now. */
function isFresh({ change }) {
  const feed = healths.get(change?.info?.feed);
  return status.fresh && (feed === undefined || feed === "LIVE" || feed === "DELAYED");
}

let healths = new Map();

function tick() {
  healths = new Map(client.feeds.map(({ feed, health }) => [feed, health]));
  const ages = new Map();
  for (const { symbol, change } of store.values()) {
    const age = client.age(symbol);
    const feed = change.info?.feed;
    if (age !== undefined && age < (ages.get(feed) ?? Infinity)) ages.set(feed, age);
  }
  status.tick(client, ages);
  watchList.tick(client, isFresh);
  board.tick(isFresh);
  detail.tick(isFresh);
}

find("#theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  keep("theme", theme);
});
onTheme(() => {
  detail.restyle();
  watchList.redraw();
});

function kept(name, fallback) {
  try {
    const text = localStorage.getItem(`tickwire.${name}`);
    return text === null ? fallback : Number(text);
  } catch {
    return fallback;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(`tickwire.${name}`, String(value));
  } catch {
    // A page that may not keep anything still works.
  }
}

/** Milliseconds between two looks at the clock. */
const TICK_MS = 250;
