// Compiled, never run: an application that uses every part of the package's types.
import { TickwireClient, TickwireError, type Change, type ErrorCode, type State, type Subscription } from "../../sdk-wasm/js/index";

export async function application(token: string): Promise<number> {
  const stop = new AbortController();
  const client = await TickwireClient.connect("wss://ticks.example", {
    token,
    tokenProvider: async () => token,
    conflateMs: 100,
    heartbeatMs: 2000,
    transport: "auto",
    encoding: "protobuf",
    pauseWhenHidden: true,
    signal: stop.signal,
    WebSocket,
    fetch,
  });
  const off = client.on("state", ({ state, code }: { state: State; code?: ErrorCode }) => console.log(state, code));
  client.on("refused", ({ symbol, code }) => console.log(symbol.length, code === "UNKNOWN_SYMBOL"));
  client.on("feed", ({ feed, health }) => console.log(feed, health === "LIVE"));
  // @ts-expect-error there is no such event
  client.on("nothing", () => {});
  const subscription: Subscription = client.subscribe(["stock.*"], { trades: true, conflateMs: 0, signal: stop.signal });
  subscription.onFrame((changes: Change[]) => changes.map(String));
  subscription.setConflation(1000);
  let sum = 0;
  for await (const change of subscription) {
    const exact: string | undefined = change.quote?.bid;
    sum += change.bid ?? Number(exact ?? 0);
    for (const { back, result } of change.odds?.outcomes ?? []) console.log(back, result === "won");
    if (change.event?.trade?.bust) break;
  }
  console.log(client.latest("stock.AAPL")?.score?.home, client.age("stock.AAPL"), client.stats().records, client.retryInMs);
  off();
  client.close();
  return sum;
}

export const isFatal = (error: unknown): boolean => error instanceof TickwireError && error.code === "AUTH_INVALID";
