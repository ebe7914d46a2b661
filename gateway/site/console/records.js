// The wh records of an account: webhooks that it keeps in its own repository.

import { fill, h } from "../dom.js";
import { listRecords } from "./methods.js";
import { badge, facts, link, pagedList, timeOr } from "./parts.js";
import { testParts } from "./send-test.js";
import { hashOf, partsOfUri, titleOf } from "./words.js";

/** @typedef {import("./methods.js").WhRecord} WhRecord */

/** @returns {Promise<HTMLElement>} */
export async function showRecords() {
  /** @type {import("./parts.js").Paged} */
  const list = pagedList({
    label: "Records",
    load: async (cursor) => {
      const { records, cursor: next } = await listRecords(cursor);
      return { entries: records, cursor: next };
    },
    show: card,
    empty: [
      h("p", {}, "There are none that this service knows of."),
      h(
        "p",
        {},
        "A webhook can be a record of your repository, in the collection ",
        h("code", {}, "place.wisp.v2.wh"),
        ". This service finds it there if it reads the public network.",
      ),
    ],
  });
  await list.ready;
  return list.element;
}

/** @param {WhRecord} record */
function card(record) {
  const { uri, state } = record;
  const title = partsOfUri(uri)?.rkey ?? uri;
  const about = h("div", {}, ...aboutRecord(record));
  const refresh = async () => {
    const now = await findRecord(uri).catch(() => undefined);
    if (now) {
      fill(about, ...aboutRecord(now));
    }
  };
  // There is nowhere to send a test of an invalid one.
  const test = state === "invalid" ? undefined : testParts(uri, { title, done: () => void refresh() });
  return h(
    "article",
    { class: "card", "aria-label": `Record ${title}` },
    about,
    h(
      "div",
      { class: "actions" },
      link(hashOf("deliveries", uri), "Deliveries", {
        class: "button",
        "aria-label": `Deliveries of ${title}`,
      }),
      test?.control,
    ),
    test?.place,
  );
}

/**
 * @param {WhRecord} record
 * @returns {import("../dom.js").Child[]}
 */
function aboutRecord({ uri, state, reason, url, scope, secretId, lastTriggered, errorCount }) {
  return [
    h("h3", {}, h("bdi", {}, partsOfUri(uri)?.rkey ?? uri), " ", badge(state)),
    h("p", { class: "url" }, h("code", {}, uri)),
    reason && h("p", { class: "notice" }, reason),
    facts([
      ["Sent to", url && h("code", { title: titleOf({ url }) }, url)],
      ["Tells of", scope && h("code", {}, scope.aturi)],
      ["Backlinks", scope && (scope.backlinks ? "yes: also of records that refer to them" : "no")],
      ["Secret", secretId && h("code", {}, secretId)],
      ["Last delivered", timeOr(lastTriggered) ?? "never"],
      ["Errors in a row", String(errorCount ?? 0)],
    ]),
  ];
}

/**
 * A record as it is now.
 *
 * @param {string} uri
 * @returns {Promise<WhRecord | undefined>}
 */
async function findRecord(uri) {
  let cursor;
  do {
    /** @type {{records: WhRecord[], cursor?: string}} */
    const page = await listRecords(cursor);
    const found = page.records.find((record) => record.uri === uri);
    if (found) {
      return found;
    }
    cursor = page.cursor;
  } while (cursor);
  return undefined;
}
