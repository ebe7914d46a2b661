// The deliveries of a webhook or of a wh record.

import { openDialog } from "../dialog.js";
import { announce, button, fill, h, uniqueId, whileBusy } from "../dom.js";
import { timeElement } from "../time.js";
import { parseLocalTime, toLocalTime } from "../values.js";
import { deliveryPanel } from "./delivery.js";
import { getWebhook, listDeliveries, redeliverFailed } from "./methods.js";
import { badge, link, pagedList } from "./parts.js";
import { hashOf, outcomeText, titleOf } from "./words.js";

/** @typedef {import("./methods.js").Delivery} Delivery */

const DAY_MS = 24 * 60 * 60 * 1_000;

/**
 * @param {string} webhookId The id of a webhook, or the at-uri of a record.
 * @returns {Promise<HTMLElement>}
 */
export async function showDeliveries(webhookId) {
  const state = h(
    "select",
    { id: uniqueId("state"), name: "state", on: { change: () => void list.reload() } },
    ...["", "pending", "delivered", "failed"].map((value) => h("option", { value }, value || "all")),
  );
  const dropped = h("p", { class: "notice", hidden: true });
  /** @type {import("./parts.js").Paged} */
  const list = pagedList({
    label: "Deliveries",
    load: async (cursor) => {
      const page = await listDeliveries(webhookId, { state: state.value, cursor });
      dropped.hidden = !page.dropped;
      dropped.textContent = `${page.dropped} events got no delivery, because too many were waiting.`;
      return { entries: page.deliveries, cursor: page.cursor };
    },
    show: deliveryItem,
    empty: [
      h("p", {}, "There are none. A test makes one; so does the next event that this webhook asks for."),
    ],
  });
  const failed = button(
    "Redeliver failed ones",
    () => void askRedeliverFailed(webhookId, () => list.reload()),
  );
  const [heading] = await Promise.all([about(webhookId), list.ready]);
  return h(
    "div",
    {},
    heading,
    h(
      "div",
      { class: "toolbar" },
      h("label", { for: state.id }, "State "),
      state,
      button("Look again", async () => {
        await list.reload();
        announce("The list is up to date.");
      }),
      failed,
    ),
    dropped,
    list.element,
  );
}

/** @param {string} webhookId */
async function about(webhookId) {
  if (webhookId.startsWith("at://")) {
    return h("p", {}, "Of the record ", h("code", {}, webhookId), ". ", link("#records", "All records"));
  }
  try {
    const webhook = await getWebhook(webhookId);
    return h(
      "p",
      {},
      "Of ",
      link(hashOf("webhook", webhookId), h("bdi", {}, titleOf(webhook))),
      ", ",
      h("code", {}, webhook.url),
    );
  } catch {
    // The list says what is wrong.
    return h("p", {}, "Of the webhook ", h("code", {}, webhookId));
  }
}

/** @param {Delivery} delivery */
function deliveryItem(delivery) {
  const summary = h("summary");
  const place = h("div");
  const show = (/** @type {Delivery} */ { type, state, createdAt, attempts, lastOutcome, lastStatus }) =>
    fill(
      summary,
      badge(state),
      " ",
      h("strong", {}, type),
      " ",
      timeElement(createdAt),
      h("span", { class: "type" }, ` ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}`),
      lastOutcome && h("span", { class: "type" }, `, ${outcomeText(lastOutcome, lastStatus)}`),
    );
  show(delivery);
  let loaded = false;
  const details = h(
    "details",
    {
      class: "card",
      on: {
        toggle: async () => {
          if (details.open && !loaded) {
            loaded = true;
            fill(place, await whileBusy(place, () => deliveryPanel(delivery.id, { changed: show })));
          }
        },
      },
    },
    summary,
    place,
  );
  return details;
}

/**
 * One delivery in a view of its own, to which links can lead.
 *
 * @param {string} id
 */
export async function showDelivery(id) {
  return h("div", { class: "card" }, await deliveryPanel(id));
}

/**
 * @param {string} webhookId
 * @param {() => Promise<void>} changed
 */
function askRedeliverFailed(webhookId, changed) {
  const id = uniqueId("since");
  const since = h("input", {
    id,
    name: "since",
    type: "datetime-local",
    step: "1",
    value: toLocalTime(new Date(Date.now() - DAY_MS).toISOString()).slice(0, 19),
    "aria-describedby": `${id}-error`,
  });
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, "Redeliver");
  const form = h(
    "form",
    {
      on: {
        submit: async (event) => {
          event.preventDefault();
          const time = parseLocalTime(since.value);
          if (!time) {
            error.textContent = "This must be a date and a time.";
            return;
          }
          try {
            const count = await whileBusy(form, () => redeliverFailed(webhookId, time), submit);
            close();
            announce(count === 1 ? "One delivery is due again." : `${count} deliveries are due again.`);
            await changed();
          } catch (failure) {
            error.textContent = /** @type {Error} */ (failure).message;
            since.focus();
          }
        },
      },
    },
    h("p", {}, "Deliveries that failed are made once more, at most 10,000; cancelled ones are left out."),
    h("label", { for: id }, "Those made since"),
    since,
    error,
    h(
      "div",
      { class: "actions" },
      button("Cancel", () => close()),
      submit,
    ),
  );
  const close = openDialog("Redeliver failed ones?", [form], () => {});
}
