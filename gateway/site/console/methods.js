// The methods that the console calls, with their shapes.

/**
 * @typedef {object} Secret
 * @property {string} name
 * @property {string} createdAt
 * @property {string} [lastRotatedAt]
 */

/**
 * @typedef {object} Webhook
 * @property {string} id
 * @property {string} url
 * @property {string[]} events
 * @property {boolean} active
 * @property {string} createdAt
 * @property {string} [updatedAt]
 * @property {string} [name]
 * @property {string} [description]
 * @property {string} [prefix]
 * @property {string} [suffix]
 * @property {{from: string, to: string}[]} [rewrite]
 * @property {string[]} [muteWords]
 * @property {boolean} [streamplaceFormat]
 * @property {string} [secretId]
 * @property {string} [lastTriggered]
 * @property {number} [errorCount]
 * @property {string} [disabledReason]
 * @property {string} [disabledAt]
 */

/**
 * @typedef {object} Delivery
 * @property {string} id
 * @property {string} eventId
 * @property {string} type
 * @property {string} state
 * @property {string} createdAt
 * @property {number} attempts
 * @property {string} [lastAttemptAt]
 * @property {string} [nextAttemptAt]
 * @property {string} [lastOutcome]
 * @property {number} [lastStatus]
 */

/**
 * @typedef {object} Attempt
 * @property {string} at
 * @property {number} durationMs
 * @property {string} outcome
 * @property {number} [status]
 * @property {string} [response]
 */

/**
 * @typedef {object} WhRecord
 * @property {string} uri
 * @property {string} state
 * @property {string} [reason]
 * @property {string} [url]
 * @property {{aturi: string, backlinks?: boolean}} [scope]
 * @property {string} [secretId]
 * @property {string} [lastTriggered]
 * @property {number} [errorCount]
 */

import { account } from "../session.js";
import { outputOf, sendAs } from "../xrpc.js";

export const CREATE_SECRET = "place.wisp.v2.secret.create";
export const ROTATE_SECRET = "place.wisp.v2.secret.rotate";
export const CREATE_WEBHOOK = "place.stream.server.createWebhook";
export const UPDATE_WEBHOOK = "place.stream.server.updateWebhook";

/** The types of events of a webhook. */
export const EVENTS = ["chat", "livestream", "follow", "mention", "stream.received"];

/**
 * @param {string} nsid
 * @param {{[key: string]: unknown}} [params]
 */
async function query(nsid, params = {}) {
  return outputOf(await sendAs(account, { nsid, type: "query", params }));
}

/**
 * @param {string} nsid
 * @param {{[key: string]: unknown}} input
 */
async function procedure(nsid, input) {
  return outputOf(await sendAs(account, { nsid, type: "procedure", input }));
}

/** @returns {Promise<Secret[]>} */
export const listSecrets = async () => (await query("place.wisp.v2.secret.list")).secrets;

/**
 * @param {{[key: string]: unknown}} input
 * @returns {Promise<{name: string, token: string}>}
 */
export const createSecret = (input) => procedure(CREATE_SECRET, input);

/**
 * @param {{[key: string]: unknown}} input
 * @returns {Promise<{name: string, token: string}>}
 */
export const rotateSecret = (input) => procedure(ROTATE_SECRET, input);

/** @param {string} name @returns {Promise<void>} */
export const deleteSecret = (name) => procedure("place.wisp.v2.secret.delete", { name });

/**
 * @param {string} [cursor]
 * @returns {Promise<{webhooks: Webhook[], cursor?: string}>}
 */
export const listWebhooks = (cursor) => query("place.stream.server.listWebhooks", { cursor });

/** @param {string} id @returns {Promise<Webhook>} */
export const getWebhook = async (id) => (await query("place.stream.server.getWebhook", { id })).webhook;

/** @param {{[key: string]: unknown}} input @returns {Promise<Webhook>} */
export const createWebhook = async (input) => (await procedure(CREATE_WEBHOOK, input)).webhook;

/** @param {{[key: string]: unknown}} input @returns {Promise<Webhook>} */
export const updateWebhook = async (input) => (await procedure(UPDATE_WEBHOOK, input)).webhook;

/** @param {string} id @returns {Promise<void>} */
export const deleteWebhook = (id) => procedure("place.stream.server.deleteWebhook", { id });

/**
 * @param {string} webhookId The id of a webhook, or the at-uri of a wh record.
 * @param {{state?: string, cursor?: string}} options
 * @returns {Promise<{deliveries: Delivery[], dropped?: number, cursor?: string}>}
 */
export const listDeliveries = (webhookId, { state, cursor }) =>
  query("internal.athook.webhook.listDeliveries", {
    webhookId,
    state: state || undefined,
    limit: 25,
    cursor,
  });

/**
 * @param {string} id
 * @returns {Promise<{delivery: Delivery, attempts: Attempt[], body?: string}>}
 */
export const getDelivery = (id) => query("internal.athook.webhook.getDelivery", { id });

/** @param {string} id @returns {Promise<Delivery>} */
export const redeliver = async (id) =>
  (await procedure("internal.athook.webhook.redeliver", { id })).delivery;

/**
 * @param {string} webhookId
 * @param {string} since RFC 3339
 * @returns {Promise<number>} How many.
 */
export const redeliverFailed = async (webhookId, since) =>
  (await procedure("internal.athook.webhook.redeliverFailed", { webhookId, since })).count;

/**
 * @param {string} webhookId
 * @param {string} [event]
 * @returns {Promise<string>} The delivery's id.
 */
export const sendTest = async (webhookId, event) =>
  (await procedure("internal.athook.webhook.sendTest", { webhookId, event })).id;

/**
 * @param {string} [cursor]
 * @returns {Promise<{records: WhRecord[], cursor?: string}>}
 */
export const listRecords = (cursor) => query("internal.athook.record.list", { cursor });
