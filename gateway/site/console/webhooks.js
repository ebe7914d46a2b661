// The webhooks of an account: their state, and what can be done with each.

import { ask } from "../dialog.js";
import { announce, button, fill, focusOn, h } from "../dom.js";
import { deleteWebhook, getWebhook, listWebhooks, updateWebhook } from "./methods.js";
import { attempt, badge, facts, link, pagedList, timeOr } from "./parts.js";
import { testParts } from "./send-test.js";
import { hashOf, reasonText, titleOf } from "./words.js";

/** @typedef {import("./methods.js").Webhook} Webhook */

/** @returns {Promise<HTMLElement>} */
export async function showWebhooks() {
  /** @type {import("./parts.js").Paged} */
  const list = pagedList({
    label: "Webhooks",
    load: async (cursor) => {
      const { webhooks, cursor: next } = await listWebhooks(cursor);
      return { entries: webhooks, cursor: next };
    },
    show: (webhook) => new Card(webhook, () => list.reload()).element,
    empty: [h("p", {}, "You have no webhooks yet.")],
  });
  await list.ready;
  return h(
    "div",
    {},
    h("div", { class: "toolbar" }, link(hashOf("new"), "Create webhook", { class: "button primary" })),
    list.element,
  );
}

class Card {
  element = h("article", { class: "card" });
  #head = h("div");
  #actions = h("div", { class: "actions" });
  #error = h("div");
  #removed;
  #webhook;
  #test;

  /**
   * @param {Webhook} webhook
   * @param {() => Promise<void>} removed
   */
  constructor(webhook, removed) {
    this.#webhook = webhook;
    this.#removed = removed;
    const { id, events } = webhook;
    this.#test = testParts(id, { title: titleOf(webhook), events, done: () => void this.#refresh() });
    this.element.setAttribute("aria-label", `Webhook ${titleOf(webhook)}`);
    fill(this.element, this.#head, this.#actions, this.#error, this.#test.place);
    this.#showHead();
    this.#showActions();
  }

  #showHead() {
    const {
      url,
      events,
      active,
      description,
      secretId,
      createdAt,
      lastTriggered,
      errorCount,
      disabledReason,
      disabledAt,
    } = this.#webhook;
    fill(
      this.#head,
      h("h3", {}, h("bdi", {}, titleOf(this.#webhook)), " ", badge(active ? "active" : "disabled")),
      h("p", { class: "url" }, h("code", {}, url)),
      description && h("p", {}, description),
      disabledReason &&
        h(
          "p",
          { class: "notice" },
          `athook has turned it off: ${reasonText(disabledReason)}.`,
          disabledAt && [" ", timeOr(disabledAt) ?? ""],
        ),
      facts([
        ["Events", events.join(", ")],
        ["Secret", secretId ? h("code", {}, secretId) : "none: deliveries are not signed"],
        ["Last delivered", timeOr(lastTriggered) ?? "never"],
        ["Errors in a row", String(errorCount ?? 0)],
        ["Made", timeOr(createdAt)],
      ]),
    );
  }

  #showActions() {
    const { id, active } = this.#webhook;
    const title = titleOf(this.#webhook);
    const turn = button(active ? "Turn off" : "Turn on", () => void this.#turn(turn));
    const remove = button("Delete", () => void this.#delete(remove));
    turn.setAttribute("aria-label", `${turn.textContent} ${title}`);
    remove.setAttribute("aria-label", `Delete ${title}`);
    fill(
      this.#actions,
      link(hashOf("deliveries", id), "Deliveries", {
        class: "button",
        "aria-label": `Deliveries of ${title}`,
      }),
      link(hashOf("webhook", id), "Edit", { class: "button", "aria-label": `Edit ${title}` }),
      turn,
      remove,
      this.#test.control,
    );
    return turn;
  }

  async #refresh() {
    try {
      this.#webhook = await getWebhook(this.#webhook.id);
      this.#showHead();
    } catch {
      // What is shown was true a moment ago.
    }
  }

  /** @param {HTMLButtonElement} pressed */
  async #turn(pressed) {
    await attempt(this.#error, this.element, pressed, async () => {
      const { id, active } = this.#webhook;
      this.#webhook = await updateWebhook({ id, active: !active });
      this.#showHead();
      this.#showActions().focus();
      announce(active ? "The webhook is off." : "The webhook is on.");
    });
  }

  /** @param {HTMLButtonElement} pressed */
  async #delete(pressed) {
    const title = titleOf(this.#webhook);
    const agreed = await ask({
      title: ["Delete ", h("bdi", {}, title), "?"],
      text: [
        h(
          "p",
          {},
          "No more events are sent to ",
          h("code", {}, this.#webhook.url),
          ", and what waits to be sent is cancelled.",
        ),
      ],
      action: "Delete",
      danger: true,
    });
    if (agreed) {
      await attempt(this.#error, this.element, pressed, async () => {
        await deleteWebhook(this.#webhook.id);
        await this.#removed();
        announce(`The webhook ${title} is deleted.`);
        const heading = document.querySelector("#console h2");
        if (heading instanceof HTMLElement) {
          focusOn(heading);
        }
      });
    }
  }
}
