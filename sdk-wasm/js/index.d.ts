// Types of @tickwire/client. Names follow the schema tickwire.v1, in camelCase.

/** A decimal number as text, exact to the last place: "187.42". */
export type Decimal = string;
/** A 64-bit integer as text. */
export type Integer = string;
/** Microseconds since 1970 UTC. */
export type Micros = number;

/**
 * State of the connection: `syncing` snapshots are on their way · `live` all is here and every feed is LIVE · `degraded` a feed is not LIVE ·
 * `stalled` nothing was heard for 2 × heartbeat + 500 ms, data is old · `backoff` waiting before the next try · `closed` for good.
 */
export type State = "idle" | "connecting" | "syncing" | "live" | "degraded" | "stalled" | "backoff" | "closed";
export type FeedHealth = "FEED_HEALTH_UNSPECIFIED" | "LIVE" | "DELAYED" | "RECOVERING" | "STALE" | "DOWN";
export type TradingPhase =
  | "TRADING_PHASE_UNSPECIFIED"
  | "PRE_OPEN"
  | "OPEN"
  | "AUCTION"
  | "HALTED"
  | "SUSPENDED"
  | "CLOSED"
  | "SETTLED"
  | "CANCELLED";
export type AssetClass =
  | "ASSET_CLASS_UNSPECIFIED"
  | "STOCK"
  | "CRYPTO"
  | "FX"
  | "FUTURE"
  | "INDEX"
  | "SPORT_EVENT"
  | "SPORT_MARKET";
export type ErrorCode =
  | "UNSPECIFIED"
  | "AUTH_REQUIRED"
  | "AUTH_INVALID"
  | "AUTH_EXPIRED"
  | "NOT_ENTITLED"
  | "ORIGIN_REFUSED"
  | "BAD_MESSAGE"
  | "UNSUPPORTED"
  | "MESSAGE_TOO_LARGE"
  | "UNKNOWN_SYMBOL"
  | "BAD_SYMBOL"
  | "HELLO_TIMEOUT"
  | "TOO_MANY_SUBSCRIPTIONS"
  | "RATE_LIMITED"
  | "TOO_MANY_CONNECTIONS"
  | "SLOW_CONSUMER"
  | "SERVER_FULL"
  | "GAP"
  | "RESUME_EXPIRED"
  | "SYMBOL_RETIRED"
  | "INTERNAL"
  | "SHUTTING_DOWN";

export interface ConnectOptions {
  /** Bearer token for the first hello. */
  token?: string;
  /** Asked for the first token if `token` is not given, and for a new one before it expires. */
  tokenProvider?: () => string | null | undefined | Promise<string | null | undefined>;
  /** Default rate of subscriptions, rounded up to one of 0, 50, 100, 250, 500, 1000, 2000, 5000 ms. Default 250. */
  conflateMs?: number;
  /** The server is never silent for longer. 500 to 30,000 ms, default 5,000. */
  heartbeatMs?: number;
  /** "auto" (default) uses a WebSocket, and server-sent events where WebSockets are blocked on the way. */
  transport?: "auto" | "websocket" | "sse";
  /** Encoding on the WebSocket; default "protobuf". Server-sent events are always JSON. */
  encoding?: "protobuf" | "json";
  /** No data while the page is hidden, the newest state when it is shown again. Default true. */
  pauseWhenHidden?: boolean;
  /** Whether `connect` waits for the server's welcome. Default true; false gives the client at once, also while the server is away. */
  wait?: boolean;
  /** Closes the client. */
  signal?: AbortSignal;
  /** A constructor to use in place of the global one, such as that of package `ws`. */
  WebSocket?: new (url: string, protocols: string[]) => unknown;
  /** A function to use in place of the global one. */
  fetch?: typeof fetch;
}

export interface SubscribeOptions {
  /** Rate of this subscription; the client's default if left out. */
  conflateMs?: number;
  /** Single trades as events. Default false. */
  trades?: boolean;
  /** Ends the subscription. */
  signal?: AbortSignal;
}

export interface InstrumentInfo {
  readonly assetClass: AssetClass;
  readonly feed: string;
  /** Decimal places of prices. */
  readonly priceScale: number;
  /** Decimal places of quantities. */
  readonly quantityScale: number;
  readonly currency?: string;
  readonly tickSize?: Decimal;
  readonly displayName?: string;
  /** Names of the outcomes of a sports market, by outcome id. */
  readonly outcomeNames?: Readonly<Record<string, string>>;
}

/** Prices. A field that is absent is unknown. */
export interface Quote {
  readonly bid?: Decimal;
  readonly bidQuantity?: Decimal;
  readonly ask?: Decimal;
  readonly askQuantity?: Decimal;
  readonly last?: Decimal;
  readonly lastQuantity?: Decimal;
  readonly lastTsUs?: Micros;
  /** Totals of the trading day. */
  readonly volume?: Decimal;
  readonly turnover?: Decimal;
  readonly trades?: Integer;
  readonly open?: Decimal;
  readonly high?: Decimal;
  readonly low?: Decimal;
  readonly previousClose?: Decimal;
  readonly settlement?: Decimal;
  /** Extremes of `last` since the record before. */
  readonly intervalHigh?: Decimal;
  readonly intervalLow?: Decimal;
}

export interface Trade {
  readonly price: Decimal;
  readonly quantity: Decimal;
  readonly tradeId?: string;
  readonly side: "SIDE_UNSPECIFIED" | "BUY" | "SELL";
  readonly conditions: readonly number[];
  /** Replaces an earlier trade of the same tradeId. */
  readonly correction: boolean;
  /** The trade of this tradeId did not happen. */
  readonly bust: boolean;
}

export interface Bar {
  readonly startUs: Micros;
  readonly lengthS: number;
  readonly open: Decimal;
  readonly high: Decimal;
  readonly low: Decimal;
  readonly close: Decimal;
  readonly volume: Decimal;
  readonly trades: Integer;
  readonly final: boolean;
}

export interface Status {
  readonly phase: TradingPhase;
  readonly reason?: string;
  readonly resumeUs?: Micros;
}

export interface Score {
  readonly home?: number;
  readonly away?: number;
  /** Half, quarter, set or inning, counted from 1. */
  readonly period?: number;
  /** The clock of the match in seconds, at the change's `tsEventUs`. */
  readonly clockS?: number;
  readonly clockRunning?: boolean;
  readonly inPlay?: boolean;
  /** The result stands. */
  readonly final?: boolean;
  readonly extra?: Readonly<Record<string, Integer>>;
}

export interface Outcome {
  readonly id: number;
  readonly back?: Decimal;
  readonly backQuantity?: Decimal;
  readonly lay?: Decimal;
  readonly layQuantity?: Decimal;
  readonly last?: Decimal;
  /** Whether it can be bet on. */
  readonly active?: boolean;
  /** Set when it is settled. */
  readonly result?: "won" | "lost" | "void" | "dead-heat" | "unknown";
}

export interface Odds {
  readonly outcomes: readonly Outcome[];
  /** Handicap or total. */
  readonly line?: Decimal;
  readonly matched?: Decimal;
}

/** What happened, in a change of kind "event". Exactly one of the bodies is there. */
export interface MarketEvent {
  readonly seq: number;
  readonly tsEventUs: Micros;
  /** The feed takes back what it said before. */
  readonly correction: boolean;
  readonly quote?: Quote;
  readonly trade?: Trade;
  readonly bar?: Bar;
  readonly status?: Status;
  readonly score?: Score;
  readonly odds?: Odds;
}

/**
 * One change of one instrument. `quote`, `score`, … hold the whole newest state with exact decimals as text; `bid`, `ask` and `last` are the
 * nearest numbers, for charts and comparisons that may be off by the last bit. `String(change)` is one line for people.
 */
export class Change {
  private constructor();
  /**
   * "state": the state changed, and this is the newest. "event": something that is never conflated away happened, see `event`; the state is the
   * one after it. "gap": events between positions `from` and `to` were lost.
   */
  readonly kind: "state" | "event" | "gap" | "unknown";
  readonly symbol: string;
  /** Position of the newest record in the feed's log. */
  readonly seq: number;
  /** When it happened. */
  readonly tsEventUs: Micros;
  /** Inputs that the server merged into this record, beyond the first. */
  readonly merged: number;
  readonly quote?: Quote;
  readonly status?: Status;
  readonly score?: Score;
  readonly odds?: Odds;
  readonly bars?: readonly Bar[];
  readonly event?: MarketEvent;
  readonly from?: number;
  readonly to?: number;
  readonly info?: InstrumentInfo;
  /** `quote.bid` as a number. */
  readonly bid?: number;
  /** `quote.ask` as a number. */
  readonly ask?: number;
  /** `quote.last` as a number. */
  readonly last?: number;
  /** `status.phase`. */
  readonly phase?: TradingPhase;
  toString(): string;
}

/** What one `subscribe` brings: always the newest state, never a backlog. Read it in one way only: `for await`, `onFrame` or `take`. */
export class Subscription implements AsyncIterableIterator<Change> {
  private constructor();
  /** Symbols and patterns that were refused, with the reason. The rest is served. */
  readonly refused: ReadonlyMap<string, ErrorCode>;
  /** The newest state of an instrument. */
  latest(symbol: string): Change | undefined;
  /** Changes the rate while data flows; without a number, back to the client's default. */
  setConflation(conflateMs?: number): void;
  /** Ends it; `for await` loops over it end. */
  unsubscribe(): void;
  /** All that changed since the last call, events in order first for their instrument. */
  take(max?: number): Change[];
  /** Calls `listener` once per animation frame with all that changed, if anything did. Gives a function that ends it. */
  onFrame(listener: (changes: Change[]) => void): () => void;
  next(): Promise<IteratorResult<Change, undefined>>;
  return(): Promise<IteratorResult<Change, undefined>>;
  [Symbol.asyncIterator](): this;
}

export interface FeedState {
  readonly feed: string;
  readonly health: FeedHealth;
  readonly reason?: string;
  readonly sinceUs: Micros;
  readonly lastSeq: number;
}

export interface Stats {
  /** Frames and bytes received. */
  readonly frames: number;
  readonly bytes: number;
  /** Records received. */
  readonly records: number;
  /** Inputs that the server had merged into those records. */
  readonly merged: number;
  /** Changes that this application was spared because newer ones came before it read. */
  readonly conflated: number;
  /** Connections made. */
  readonly connects: number;
}

export interface ClientEvents {
  state: { readonly state: State; readonly code?: ErrorCode; readonly reason?: string };
  feed: FeedState;
  refused: { readonly subscription: number; readonly symbol: string; readonly code: ErrorCode };
  /** The link of this client is slow (it gets fewer records, each the newest), or no longer. */
  notice: { readonly kind: "NOTICE_KIND_UNSPECIFIED" | "SLOW" | "SLOW_CLEARED"; readonly text?: string };
  error: {
    readonly code: ErrorCode;
    readonly text?: string;
    readonly retry: "RETRY_UNSPECIFIED" | "NEVER" | "LATER" | "WITH_NEW_TOKEN";
    readonly retryAfterMs?: number;
  };
}

/** What was refused or ended for good. */
export class TickwireError extends Error {
  constructor(code: ErrorCode | "CLOSED", text?: string);
  readonly code: ErrorCode | "CLOSED";
}

/** A connection that keeps itself alive: it reconnects, subscribes again, and resumes where it was. */
export class TickwireClient {
  private constructor();
  /**
   * Connects to a server by any of its addresses: its root, /v1/ws or /v1/sse. Rejects with a {@link TickwireError} when the server refuses for
   * good; a server that is away is tried again until `signal` says otherwise. Over server-sent events it resolves at once, since the first
   * subscription makes the connection.
   */
  static connect(url: string | URL, options?: ConnectOptions): Promise<TickwireClient>;
  readonly state: State;
  readonly transport: "websocket" | "sse";
  /** Milliseconds until the next try, in state "backoff". */
  readonly retryInMs: number | undefined;
  /** Every feed's newest state. */
  readonly feeds: readonly FeedState[];
  /** Symbols and patterns in AMQP's topic grammar: "stock.AAPL", "soccer.epl.#". */
  subscribe(symbols: string | Iterable<string>, options?: SubscribeOptions): Subscription;
  /** The newest state of an instrument that some subscription covers. */
  latest(symbol: string): Change | undefined;
  /** Milliseconds since the newest record of `symbol` happened, by the server's clock. */
  age(symbol: string): number | undefined;
  stats(): Stats;
  /** Calls `listener` for each event of this name. Gives a function that ends it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void;
  /** Ends the connection and all subscriptions. */
  close(): void;
}
