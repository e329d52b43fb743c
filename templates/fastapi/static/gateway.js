/**
 * The gateway, as a signed-in user's browser speaks to it: with a token that the app's server minted for that user.
 * Nothing here knows the page.
 */
import { readEvents } from "./sse.js";

/** Tokens are renewed this long before they end, so that none ends on its way. */
const SPARE_MS = 60_000;

/** Whatever went wrong, in one shape. `status` is 0 when no answer came at all. */
export class GatewayError extends Error {
  constructor(message, { status = 0, code = "network_error", details = {}, retryAfter = null, requestId = null } = {}) {
    super(message);
    this.name = "GatewayError";
    this.status = status;
    this.code = code;
    this.details = details ?? {};
    /** Seconds, when the gateway says how long to wait. */
    this.retryAfter = retryAfter;
    /** What support needs to find the request. */
    this.requestId = requestId;
  }
}

export class Gateway {
  #baseUrl;
  #minted = null;

  /** @param {string} baseUrl the gateway without `/v1` */
  constructor(baseUrl) {
    this.#baseUrl = baseUrl;
  }

  /**
   * Stream one reply.
   *
   * @param {{role: string, content: string}[]} messages
   * @param {AbortSignal} signal hangs up; the gateway then cancels the provider's call
   * @yields {{text: string} | {finish: string, clamped: boolean} | {usage: object}}
   * @throws {GatewayError} also in mid-stream, after the text that did arrive
   */
  async *chat(messages, signal) {
    const response = await this.#fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      // The model is the project's choice. With the usage comes the cost.
      body: JSON.stringify({ messages, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
    const requestId = requestIdOf(response);
    const clamped = response.headers.has("X-Behest-Max-Tokens-Clamped");
    let isComplete = false;
    try {
      for await (const event of readEvents(response.body)) {
        if (event === "[DONE]") {
          isComplete = true;
          break;
        }
        const chunk = JSON.parse(event);
        if (chunk.error) throw new GatewayError(chunk.error.message, { status: 502, ...chunk.error, requestId });
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) yield { text: choice.delta.content };
        if (choice?.finish_reason) yield { finish: choice.finish_reason, clamped };
        if (chunk.usage) yield { usage: chunk.usage };
      }
    } catch (problem) {
      if (problem instanceof GatewayError || signal.aborted) throw problem;
      throw new GatewayError("The reply was cut off.", { code: "cut_off", requestId });
    }
    if (!isComplete) throw new GatewayError("The reply was cut off.", { code: "cut_off", requestId });
  }

  /** What the user has spent, and what is left of each budget that applies. */
  async usage() {
    return await (await this.#fetch("/v1/usage", {})).json();
  }

  async #fetch(path, init) {
    for (let attempt = 1; ; attempt++) {
      const token = await this.#token(init.signal);
      const headers = { ...init.headers, Authorization: `Bearer ${token}` };
      const response = await fetchOrExplain(this.#baseUrl + path, { ...init, headers });
      if (response.ok) return response;
      // A token may have ended while the machine slept, or its key may have been revoked: one new one settles which.
      if (response.status === 401 && attempt === 1) this.#minted = null;
      else throw await errorOf(response);
    }
  }

  /** The current token, minted when there is none. Two callers at once share one mint. */
  async #token(signal) {
    if (!this.#minted || performance.now() > (await this.#minted).goodUntil) {
      const minting = mint();
      this.#minted = minting;
      minting.catch(() => {
        if (this.#minted === minting) this.#minted = null;
      });
    }
    const { token } = await this.#minted;
    signal?.throwIfAborted();
    return token;
  }
}

async function mint() {
  const asked = performance.now();
  const response = await fetchOrExplain("/api/behest/token", { method: "POST" });
  if (response.status === 401) throw new GatewayError("Signed out.", { status: 401, code: "signed_out" });
  if (!response.ok) throw new GatewayError(await response.text(), { status: response.status, code: "no_token" });
  const { token, ttl } = await response.json();
  // Measured from here on this machine's steady clock: its wall clock may be wrong.
  return { token, goodUntil: asked + ttl * 1000 - SPARE_MS };
}

async function fetchOrExplain(url, init) {
  try {
    return await fetch(url, init);
  } catch (problem) {
    if (init.signal?.aborted) throw problem;
    // A browser doesn't say why: offline, nobody there, or this page's origin is not allowed there.
    throw new GatewayError(`No answer from ${new URL(url, location.href).origin}.`);
  }
}

async function errorOf(response) {
  const body = await response.json().catch(() => ({}));
  const error = typeof body.error === "object" && body.error ? body.error : body;
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  return new GatewayError(error.message ?? `The gateway answered ${response.status}.`, {
    status: response.status,
    code: error.code ?? "unknown",
    details: error.details,
    retryAfter: Number.isFinite(wait) ? wait : null,
    requestId: requestIdOf(response),
  });
}

function requestIdOf(response) {
  return response.headers.get("X-Request-Id") ?? response.headers.get("X-Trace-Id");
}
