// The client: gives the session in WASM its sockets, its timer, page events and callbacks. Every decision is the session's.
import { readChange, readChanges } from "./change.js";
import { Subscription } from "./subscription.js";
import { EventsTransport, SocketTransport, endpoints } from "./transport.js";

let load;

/** Told by the entry files how the module is loaded here; `loader` gives `{ Core, Step }`. */
export function provide(loader) {
  load = loader;
}

/** What was refused or ended, with the code of the schema. */
export class TickwireError extends Error {
  constructor(code, text) {
    super(text ? `${code}: ${text}` : code);
    this.name = "TickwireError";
    this.code = code;
  }
}

/** A connection that keeps itself alive. See index.d.ts. */
export class TickwireClient {
  #core;
  #step;
  #options;
  #endpoints;
  #kind = "websocket";
  #transport;
  /** Counts transports, so that what an old one still says is not taken for the new one's. */
  #opened = 0;
  /** WebSockets in a row that came to nothing although the server answers requests. */
  #blocked = 0;
  #welcomed = false;
  /** Looks whether `connect` may resolve. */
  #greeted = () => {};
  #state = "idle";
  #ended;
  #timer;
  #draining = false;
  #infos = new Map();
  #listeners = new Map();
  #subscriptions = new Map();
  #undo = [];

  /** Resolves once the server has welcomed this client; with `wait: false` as soon as the first try has begun. */
  static async connect(url, options = {}) {
    const client = new TickwireClient(KEY, url, options);
    await client.#start(await load());
    if (options.wait !== false) await client.#welcome();
    return client;
  }

  constructor(key, url, options) {
    if (key !== KEY) throw new TypeError("use TickwireClient.connect");
    this.#options = { ...DEFAULTS, ...options };
    this.#endpoints = endpoints(url);
  }

  get state() {
    return this.#state;
  }

  get transport() {
    return this.#kind;
  }

  /** Milliseconds until the next try, in state "backoff". */
  get retryInMs() {
    const at = this.#core.retry_at();
    return at === undefined ? undefined : Math.max(0, at - performance.now());
  }

  get feeds() {
    return JSON.parse(this.#core.feeds());
  }

  stats() {
    return JSON.parse(this.#core.stats());
  }

  latest(symbol) {
    const text = this.#core.latest(symbol);
    return text === undefined ? undefined : readChange(JSON.parse(text), this.#infos);
  }

  age(symbol) {
    return this.#core.age(performance.now(), symbol);
  }

  on(name, listener) {
    if (!EVENTS.includes(name)) throw new TypeError(`no event is called ${name}; there are ${EVENTS.join(", ")}`);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  subscribe(symbols, options = {}) {
    if (this.#ended) throw this.#ended.error ?? new TickwireError("CLOSED", "the client was closed");
    options.signal?.throwIfAborted();
    const targets = (typeof symbols === "string" ? [symbols] : [...symbols]).map(String);
    const id = this.#core.subscribe(performance.now(), targets, options.conflateMs, options.trades ?? false);
    const subscription = new Subscription({
      take: (max) => {
        const text = this.#core.changes(id, max);
        return text === undefined ? [] : readChanges(text, this.#infos);
      },
      latest: (symbol) => this.latest(symbol),
      setConflation: (conflateMs) => this.#input((core, now) => core.set_conflation(now, id, conflateMs ?? undefined)),
      unsubscribe: () => {
        this.#subscriptions.delete(id);
        this.#input((core, now) => core.unsubscribe(now, id));
      },
    });
    this.#subscriptions.set(id, subscription);
    options.signal?.addEventListener("abort", () => subscription.unsubscribe(), { once: true });
    this.#drain();
    return subscription;
  }

  close() {
    this.#input((core, now) => core.close(now));
    this.#end();
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }

  async #start({ Core, Step }) {
    const { token, tokenProvider, signal, transport, encoding, conflateMs, heartbeatMs } = this.#options;
    signal?.throwIfAborted();
    this.#step = Step;
    const seed = Math.random() * 2 ** 53;
    this.#core = new Core(SDK, encoding === "json", conflateMs, heartbeatMs, token, Boolean(tokenProvider), seed);
    this.#watchPage();
    if (signal) this.#listen(signal, "abort", () => this.close());
    if (transport === "sse") this.#restart("sse");
    else this.#core.connect(performance.now());
    this.#drain();
  }

  /** Over server-sent events the first subscription makes the connection, so there is nothing to wait for. */
  #welcome() {
    return new Promise((resolve, reject) => {
      this.#greeted = () => {
        if (this.#ended) reject(this.#ended.error ?? new TickwireError("CLOSED", "closed before the server answered"));
        else if (this.#welcomed || this.#kind === "sse") resolve();
      };
      this.#greeted();
    });
  }

  // ---- what the session asks for ----

  #input(give) {
    if (this.#ended) return;
    give(this.#core, performance.now());
    this.#drain();
  }

  /** Does what the session says until it waits. The application is called last, so that it may call back. */
  #drain() {
    if (this.#draining) return;
    this.#draining = true;
    const tell = [];
    try {
      while (this.#perform(tell));
    } finally {
      this.#draining = false;
    }
    for (const one of tell) one();
  }

  /** One step; false when there is nothing more to do now. */
  #perform(tell) {
    const core = this.#core;
    const Step = this.#step;
    switch (core.poll()) {
      case Step.Open:
        this.#open();
        return true;
      case Step.Send:
        this.#transport?.send(core.take_bytes());
        return true;
      case Step.Shut:
        this.#shut(core.number());
        return true;
      case Step.NeedToken:
        this.#renew(core.number());
        return true;
      case Step.Event: {
        const { type, ...event } = JSON.parse(core.take_text());
        if (type === "state") this.#enter(event);
        tell.push(() => this.#tell(type, event));
        return true;
      }
      case Step.Ready: {
        const subscription = this.#subscriptions.get(core.number());
        if (subscription) tell.push(() => subscription._wake());
        return true;
      }
      default:
        this.#arm(core.number());
        return false;
    }
  }

  #arm(at) {
    clearTimeout(this.#timer);
    if (this.#ended || !Number.isFinite(at)) return;
    const delay = Math.min(Math.max(0, Math.ceil(at - performance.now())), TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.#input((core, now) => core.timeout(now)), delay);
  }

  #open() {
    this.#shut();
    const mine = ++this.#opened;
    const input = (give) => mine === this.#opened && this.#input(give);
    const owner = {
      opened: () => input((core, now) => core.opened(now)),
      frame: (bytes) => input((core, now) => core.frame(now, bytes)),
      text: (text) => input((core, now) => core.frame_text(now, text)),
      closed: async (end) => {
        if (await this.#changesKind(end.code)) {
          input(() => this.#restart("sse"));
        } else {
          input((core, now) => {
            this.#welcomed = false;
            core.closed(now, end.code, end.retryAfterMs, end.name);
          });
        }
      },
    };
    try {
      this.#transport = this.#kind === "sse" ? this.#openEvents(owner) : this.#openSocket(owner);
    } catch {
      // A constructor refuses what can never work, such as ws: from a https: page. Told later, like every other failure.
      setTimeout(() => owner.closed({}));
    }
  }

  #openSocket(owner) {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    return new SocketTransport(this.#endpoints.ws, this.#options.encoding === "json", Socket, owner);
  }

  #openEvents(owner) {
    // In the query rather than as Last-Event-ID, which would need another origin's leave.
    const resume = this.#core.resume_token();
    const url = this.#endpoints.sse + this.#core.sse_query() + (resume === undefined ? "" : `&resume=${encodeURIComponent(resume)}`);
    return new EventsTransport(url, this.#core.bearer(), this.#fetch, owner);
  }

  get #fetch() {
    return this.#options.fetch ?? ((...args) => globalThis.fetch(...args));
  }

  #shut(code) {
    this.#transport?.close(code);
    this.#transport = undefined;
    this.#opened += 1;
  }

  /** Whether WebSockets are blocked on the way: the server answers requests, but two sockets in a row came to nothing. */
  async #changesKind(code) {
    if (this.#options.transport !== "auto" || this.#kind === "sse" || this.#welcomed || code >= 4000) return false;
    const options = { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(PROBE_MS_MAX) };
    const answers = await this.#fetch(this.#endpoints.health, options).then(
      () => true,
      () => false,
    );
    this.#blocked = answers ? this.#blocked + 1 : 0;
    return this.#blocked >= 2;
  }

  #restart(kind) {
    this.#kind = kind;
    this.#infos.clear();
    this.#core.restart(performance.now(), kind === "websocket", this.#options.encoding === "json");
    this.#greeted();
  }

  async #renew(request) {
    const token = await Promise.resolve()
      .then(() => this.#options.tokenProvider?.())
      .catch(() => undefined);
    this.#input((core, now) => core.token(now, request, token ?? undefined));
  }

  // ---- what the application is told ----

  #enter({ state, code, reason }) {
    this.#state = state;
    if (WELCOMED.includes(state)) {
      this.#welcomed = true;
      this.#blocked = 0;
    }
    if (state === "closed") this.#end(code ? new TickwireError(code, reason) : undefined);
    this.#greeted();
  }

  #tell(type, event) {
    if (type === "refused") this.#subscriptions.get(event.subscription)?._refuse(event);
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(event);
      } catch (error) {
        // Reported as uncaught, but neither the next listener nor the session stops for it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = { error };
    this.#state = "closed";
    clearTimeout(this.#timer);
    this.#shut();
    for (const undo of this.#undo) undo();
    for (const subscription of this.#subscriptions.values()) subscription._end(error);
    this.#subscriptions.clear();
    this.#greeted();
  }

  // ---- the page ----

  #watchPage() {
    const wake = () => this.#input((core, now) => core.wake(now));
    this.#listen(globalThis, "online", wake);
    this.#listen(globalThis, "pageshow", (event) => event.persisted && wake());
    const page = globalThis.document;
    if (!page) return;
    const pause = () => this.#options.pauseWhenHidden && this.#core.pause(performance.now(), page.hidden);
    this.#listen(page, "visibilitychange", () => {
      this.#input(pause);
      if (!page.hidden) wake();
    });
    if (page.hidden) pause();
  }

  #listen(target, name, listener) {
    if (typeof target?.addEventListener !== "function") return;
    target.addEventListener(name, listener);
    this.#undo.push(() => target.removeEventListener(name, listener));
  }
}

const DEFAULTS = { conflateMs: 250, heartbeatMs: 5000, transport: "auto", encoding: "protobuf", pauseWhenHidden: true };
const KEY = Symbol("only this module makes clients");
const SDK = "tickwire-js/0.1.0";
const EVENTS = ["state", "feed", "refused", "notice", "error"];
const WELCOMED = ["syncing", "live", "degraded"];
/** Longest timer that every platform holds. A later moment is waited for in pieces. */
const TIMER_MS_MAX = 2 ** 30;
/** Milliseconds that the server has to show that it is there at all. */
const PROBE_MS_MAX = 3000;
