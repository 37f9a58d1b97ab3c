/* A WebSocket that comes back by itself. */

// Close codes by which a server says that it is being replaced: another one is ready already.
const DRAINING = [4001, 4503];
// The server did not answer; sent by this page.
const SILENT = 4000;
// Failed handshakes before the token is given up. A refusal looks like any other failure: 1006.
const MAX_REFUSALS = 5;
const MAX_DELAY = 30_000;

const MEANINGS = {
  1000: "The server closed the connection normally.",
  1001: "The server is going away.",
  1006: "The connection was lost without a goodbye: the network, a proxy or a server that stopped.",
  1009: "A message was too big.",
  1011: "The server had an internal error.",
  1012: "The server is restarting.",
  1013: "The server is overloaded.",
  4000: "The server stopped answering.",
  4001: "The server is draining; another one takes over.",
  4503: "The server is draining; another one takes over.",
};

/** Say what a close code means. */
export function meaning(code) {
  return MEANINGS[code] ?? "The server closed the connection for a reason of its own.";
}

/** The wait in ms before retry number `retry`, from 0: at once, then twice as long each time, never all clients at once. */
export function delayBefore(retry, random = Math.random) {
  if (retry === 0) return random() * 500;
  const ceiling = Math.min(MAX_DELAY, 1000 * 2 ** (retry - 1));
  return (ceiling * (1 + random())) / 2;
}

/** The claims in a token, unverified; an empty object if it cannot be read. */
export function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

/**
 * Keeps one connection open.
 *
 * onState({state, code, reason, retryAt}) hears of idle, connecting, open, waiting and stopped; onMessage(object) of
 * every frame.
 */
export class LiveSocket {
  #socket = null;
  #timer = null;
  #token = "";
  #retry = 0;
  #refusals = 0;
  #everOpen = false;

  constructor(path, { onState, onMessage }) {
    this.path = path;
    this.onState = onState;
    this.onMessage = onMessage;
  }

  /** Connect with a token, from a clean slate. */
  start(token) {
    this.#token = token;
    this.#everOpen = false;
    this.#refusals = 0;
    this.#retry = 0;
    this.#open();
  }

  /** Connect now instead of when the wait is over; after it was stopped, try again. */
  retryNow() {
    this.#refusals = 0;
    this.#retry = 0;
    if (this.#socket === null && this.#token) this.#open();
  }

  /** Close, and stay closed. */
  stop() {
    clearTimeout(this.#timer);
    this.#forget(1000);
    this.#token = "";
    this.onState({ state: "idle" });
  }

  /** Give up a connection that does not answer, and make a new one. */
  abandon() {
    this.#forget(SILENT);
    this.#lost(SILENT, true, Infinity);
  }

  /** Send an object; false if there is no open connection. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #open() {
    clearTimeout(this.#timer);
    this.#forget(1000);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.path}?token=${encodeURIComponent(this.#token)}`);
    let openedAt = null;
    this.#socket = socket;
    this.onState({ state: "connecting" });
    socket.onopen = () => {
      openedAt = performance.now();
      this.#everOpen = true;
      this.#refusals = 0;
      this.onState({ state: "open" });
    };
    socket.onmessage = ({ data }) => this.onMessage(JSON.parse(data));
    socket.onclose = ({ code }) => {
      this.#socket = null;
      this.#lost(code, openedAt !== null, openedAt === null ? 0 : performance.now() - openedAt);
    };
  }

  /** Decide what comes after a lost connection that was open for `lived` ms. */
  #lost(code, opened, lived) {
    // A connection that held was a success. One that is closed again and again must not become a loop.
    if (lived > (DRAINING.includes(code) ? 1000 : 5000)) this.#retry = 0;
    if (!opened) {
      this.#refusals += 1;
      if (claims(this.#token).exp * 1000 < Date.now()) {
        this.onState({ state: "stopped", code, reason: "The token has expired. Get a new one to connect again." });
        return;
      }
      if (!this.#everOpen && this.#refusals >= MAX_REFUSALS) {
        const reason = `${MAX_REFUSALS} attempts failed. The token may be wrong or expired, or the server is not there.`;
        this.onState({ state: "stopped", code, reason });
        return;
      }
    }
    const wait = delayBefore(this.#retry);
    this.#retry += 1;
    this.#timer = setTimeout(() => this.#open(), wait);
    const reason = opened ? meaning(code) : "The server could not be reached, or refused the connection.";
    this.onState({ state: "waiting", code, reason, retryAt: Date.now() + wait });
  }

  /** Let go of the present socket without hearing of its end. */
  #forget(code) {
    const socket = this.#socket;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
    this.#socket = null;
  }
}
