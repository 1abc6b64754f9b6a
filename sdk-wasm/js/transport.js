// Sockets. A transport tells its owner `opened`, `frame`, `text` and one `closed`, and nothing after `close()` was called.

/** The endpoints of a server, from any address that names it: its root, /v1/ws or /v1/sse, by http(s) or ws(s). */
export function endpoints(url) {
  const base = new URL(url, globalThis.location?.href);
  base.pathname = base.pathname.replace(/\/?(v1\/(ws|sse))?\/?$/, "/");
  base.search = base.hash = "";
  const secure = base.protocol === "https:" || base.protocol === "wss:";
  const at = (scheme, path) => `${scheme}${secure ? "s" : ""}://${base.host}${base.pathname}${path}`;
  return { ws: at("ws", "v1/ws"), sse: at("http", "v1/sse"), health: at("http", "livez") };
}

/** A WebSocket. */
export class SocketTransport {
  #socket;
  #owner;
  #json;

  constructor(url, json, Socket, owner) {
    const socket = new Socket(url, [json ? "tickwire.v1.json" : "tickwire.v1.pb"]);
    this.#socket = socket;
    this.#owner = owner;
    this.#json = json;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#owner?.opened();
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#owner?.text(data);
      else this.#owner?.frame(new Uint8Array(data));
    };
    socket.onclose = ({ code }) => this.#end({ code });
    // A failed connection says `error` and then `close`, which tells more; one that a page's policy forbids says only `error`.
    socket.onerror = () => setTimeout(() => this.#end({}), CLOSE_MS_MAX);
  }

  send(bytes) {
    if (this.#socket.readyState === 1) this.#socket.send(this.#json ? new TextDecoder().decode(bytes) : bytes);
  }

  close(code = 1000) {
    this.#owner = undefined;
    // Scripts may give 1000 and 3000 to 4999 only.
    this.#socket.close(code >= 3000 ? code : 1000);
  }

  #end(end) {
    const owner = this.#owner;
    this.#owner = undefined;
    owner?.closed(end);
  }
}

/** Server-sent events through fetch, which can send a bearer token where EventSource cannot. */
export class EventsTransport {
  #abort = new AbortController();
  #owner;

  constructor(url, token, fetchFn, owner) {
    this.#owner = owner;
    this.#run(url, token, fetchFn).then(
      (end) => this.#end(end),
      () => this.#end({}),
    );
  }

  /** One-way: the request itself said everything. */
  send() {}

  close() {
    this.#owner = undefined;
    this.#abort.abort();
  }

  #end(end) {
    const owner = this.#owner;
    this.#owner = undefined;
    owner?.closed(end);
  }

  async #run(url, token, fetchFn) {
    const headers = { Accept: "text/event-stream", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetchFn(url, { headers, cache: "no-store", signal: this.#abort.signal });
    if (!response.ok || !response.body) return refusal(response);
    this.#owner?.opened();
    const lines = new EventLines((data) => this.#owner?.text(data));
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return {};
      lines.push(decoder.decode(value, { stream: true }));
    }
  }
}

/** The data of each event of a stream that arrives in pieces. Names and ids are skipped: the frame itself says what it is. */
export class EventLines {
  #rest = "";
  #data = [];
  #emit;

  constructor(emit) {
    this.#emit = emit;
  }

  push(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    if (this.#rest.length > LINE_CHARACTERS_MAX) throw new Error("the server sent a line without end");
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  #line(line) {
    if (line.startsWith("data:")) {
      this.#data.push(line.slice(line[5] === " " ? 6 : 5));
    } else if (line === "" && this.#data.length > 0) {
      this.#emit(this.#data.join("\n"));
      this.#data = [];
    }
  }
}

/** What a refused request says: its status, its error code by name, and when to come back. */
async function refusal(response) {
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  const body = await response.json().catch(() => undefined);
  return {
    code: response.status,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    name: typeof body?.code === "string" ? body.code : undefined,
  };
}

/** Milliseconds between the two events of a failed WebSocket. After that it counts as closed. */
const CLOSE_MS_MAX = 500;
/** Characters of one line of an event stream. A longer one ends the connection. */
const LINE_CHARACTERS_MAX = 64 * 1024 * 1024;
