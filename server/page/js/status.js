// How well the link and the feeds are doing, and how much arrives.
import { make, setText, span } from "./format.js";

const STATES = {
  idle: "Starting",
  connecting: "Connecting",
  syncing: "Catching up",
  live: "Live",
  degraded: "Live, a feed is not",
  stalled: "No answer",
  backoff: "Reconnecting",
  closed: "Closed",
};

export class StatusBar {
  #state = document.querySelector("#state");
  #stateText = document.querySelector("#state-text");
  #feeds = document.querySelector("#feeds");
  #banner = document.querySelector("#banner");
  #chips = new Map();
  #freshUntil;
  #fatal;

  /** Whether what is shown is what the server has now. */
  fresh = false;

  state({ state, code, reason }) {
    const wasFresh = this.fresh;
    this.fresh = state === "live" || state === "degraded";
    if (wasFresh && !this.fresh) this.#freshUntil = new Date();
    this.#state.dataset.state = state;
    document.body.dataset.state = state;
    document.body.dataset.fresh = String(this.fresh);
    setText(this.#stateText, STATES[state] ?? state);
    this.#fatal = state === "closed" ? [code, reason].filter(Boolean).join(": ") || "the server said goodbye" : undefined;
  }

  /** Feed chips with the age of their newest value, and the banner. */
  tick(client, ages) {
    for (const { feed, health, reason } of client.feeds) {
      const chip = this.#chips.get(feed) ?? this.#addChip(feed);
      chip.element.dataset.health = health;
      chip.element.title = reason ? `${feed}: ${reason}` : `${feed} is ${health}`;
      setText(chip.health, health);
      setText(chip.age, span(ages.get(feed)));
    }
    this.#showBanner(client);
  }

  #showBanner(client) {
    const lost = this.#freshUntil && !this.fresh;
    this.#banner.hidden = !lost && !this.#fatal;
    if (this.#fatal) return setText(this.#banner, `The connection has ended (${this.#fatal}). Reload the page to try again.`);
    if (!lost) return;
    const since = this.#freshUntil.toLocaleTimeString([], { hourCycle: "h23" });
    const wait = client.retryInMs;
    const next = wait === undefined ? "Connecting …" : `Next try in ${Math.ceil(wait / 1000)} s.`;
    setText(this.#banner, `Connection lost. Values are as of ${since}. ${next}`);
  }

  #addChip(feed) {
    const chip = { health: make("b"), age: make("span", { className: "age" }) };
    chip.element = make("span", { className: "chip" }, make("i"), feed, chip.health, chip.age);
    chip.element.dataset.feed = feed;
    this.#chips.set(feed, chip);
    this.#feeds.append(chip.element);
    return chip;
  }
}

/** Records, merged inputs and bytes per second, over the last two seconds. */
export class ReadOut {
  #samples = [];

  tick(client) {
    const now = performance.now();
    const stats = client.stats();
    // A new kind of transport counts from zero.
    if (stats.records < (this.#samples.at(-1)?.stats.records ?? 0)) this.#samples = [];
    this.#samples.push({ now, stats });
    while (this.#samples.length > 2 && now - this.#samples[0].now > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (now - first.now) / 1000;
    const rate = (name) => (seconds > 0 ? (stats[name] - first.stats[name]) / seconds : 0);
    const show = (id, value) => setText(document.querySelector(id), value);
    show("#rate-records", Math.round(rate("records")).toLocaleString("en"));
    show("#rate-merged", Math.round(rate("merged")).toLocaleString("en"));
    show("#rate-bytes", (rate("bytes") / 1000).toFixed(1));
  }
}

const WINDOW_MS = 2000;
