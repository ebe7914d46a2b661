// What states and outcomes are called for people. No document here, so that Node can test it.

/** @typedef {import("./methods.js").Delivery} Delivery */

/** What came of an attempt, or why there is none. @type {{[outcome: string]: string}} */
const OUTCOMES = {
  ok: "accepted",
  http: "refused by the receiver",
  timeout: "the receiver took too long",
  connect: "no connection to the receiver",
  tls: "no TLS with the receiver",
  dns: "the host's name has no address",
  refused: "the address is not allowed",
  lost: "athook stopped in the middle of it",
  secret: "waits for its secret, which is missing",
  cancelled: "cancelled: the webhook is off or gone, or mutes it",
};

/**
 * @param {string} outcome
 * @param {number} [status] Of HTTP.
 * @returns {string}
 */
export function outcomeText(outcome, status) {
  const words = OUTCOMES[outcome] ?? outcome;
  return status === undefined ? words : `${words} (${status})`;
}

/** Why a webhook was turned off. @type {{[reason: string]: string}} */
const REASONS = {
  gone: "its receiver answered 410 Gone",
  failing: "its receiver has failed for too long",
};

/** @param {string} reason */
export function reasonText(reason) {
  return REASONS[reason] ?? reason;
}

/** @type {{[state: string]: {text: string, tone: "good" | "bad" | "wait" | "off"}}} */
const STATES = {
  pending: { text: "pending", tone: "wait" },
  delivered: { text: "delivered", tone: "good" },
  failed: { text: "failed", tone: "bad" },
  active: { text: "active", tone: "good" },
  disabled: { text: "off", tone: "off" },
  invalid: { text: "invalid", tone: "bad" },
  over_limit: { text: "over the limit", tone: "bad" },
  secret_missing: { text: "secret missing", tone: "wait" },
  owner_inactive: { text: "account not active", tone: "off" },
};

/** @param {string} state */
export function stateOf(state) {
  return STATES[state] ?? { text: state, tone: "off" };
}

/**
 * What is happening with a delivery, in a sentence.
 *
 * @param {Delivery} delivery
 * @returns {string}
 */
export function progressText({ state, attempts, lastOutcome, lastStatus, nextAttemptAt }) {
  if (state === "delivered") {
    return attempts === 1 ? "Delivered at the first attempt." : `Delivered after ${attempts} attempts.`;
  }
  const last = lastOutcome ? outcomeText(lastOutcome, lastStatus) : "";
  if (state === "failed") {
    return last ? `Failed: ${last}.` : "Failed.";
  }
  if (!nextAttemptAt) {
    return attempts === 0 ? "An attempt is under way …" : `An attempt is under way … The last one: ${last}.`;
  }
  if (lastOutcome === "secret") {
    return "It waits: the webhook's secret is missing.";
  }
  return attempts === 0 ? "It is due …" : `The last attempt: ${last}. It is tried again.`;
}

/**
 * The parts of an at-uri.
 *
 * @param {string} uri
 * @returns {{did: string, collection: string, rkey: string} | undefined}
 */
export function partsOfUri(uri) {
  const [, did, collection, rkey] = uri.match(/^at:\/\/(did:[a-z]+:[^/]+)\/([^/]+)\/([^/]+)$/) ?? [];
  return did === undefined ? undefined : { did, collection, rkey };
}

/**
 * What a webhook is called: its name, else the host that it goes to.
 *
 * @param {{name?: string, url?: string}} webhook
 * @returns {string}
 */
export function titleOf({ name, url }) {
  if (name) {
    return name;
  }
  try {
    return new URL(url ?? "").host;
  } catch {
    return url ?? "";
  }
}

/**
 * A view of the console, as the fragment of the address says it.
 *
 * @typedef {object} Route
 * @property {"webhooks" | "webhook" | "new" | "secrets" | "records" | "deliveries" | "delivery"} view
 * @property {string} id Of a webhook, or at-uri, or delivery.
 */

/**
 * @param {string} hash
 * @returns {Route}
 */
export function routeOf(hash) {
  const [first, ...rest] = hash.replace(/^#/, "").split("/");
  let id = "";
  try {
    id = decodeURIComponent(rest.join("/"));
  } catch {
    // No fragment of ours.
  }
  if ((first === "deliveries" || first === "delivery") && id) {
    return { view: first, id };
  }
  if (first === "webhooks" && id) {
    return id === "new" ? { view: "new", id: "" } : { view: "webhook", id };
  }
  return { view: first === "secrets" || first === "records" ? first : "webhooks", id: "" };
}

/**
 * @param {Route["view"]} view
 * @param {string} [id]
 * @returns {string} A fragment with its `#`.
 */
export function hashOf(view, id = "") {
  switch (view) {
    case "new":
      return "#webhooks/new";
    case "webhook":
      return `#webhooks/${encodeURIComponent(id)}`;
    case "deliveries":
    case "delivery":
      return `#${view}/${encodeURIComponent(id)}`;
    default:
      return `#${view}`;
  }
}
