// One delivery: what becomes of it as it happens, its attempts, the body sent and the answers.

import { copyButton } from "../copy.js";
import { announce, button, fill, h, whileBusy } from "../dom.js";
import { durationText, timeElement } from "../time.js";
import { XrpcError } from "../xrpc.js";
import { getDelivery, redeliver } from "./methods.js";
import { attempt, badge, facts, problem, timeOr } from "./parts.js";
import { outcomeText, progressText } from "./words.js";

/** @typedef {import("./methods.js").Attempt} Attempt */
/** @typedef {import("./methods.js").Delivery} Delivery */
/** @typedef {{delivery: Delivery, attempts: Attempt[], body?: string}} Detail */

/** How long to wait between looks at a delivery that is under way: soon at first, then seldom. */
const WAITS_MS = [200, 300, 500, 500, 1_000, 1_000, 1_000, 2_000];
const LONGEST_WAIT_MS = 5_000;

/**
 * Shows a delivery, and follows it until it is delivered or has failed.
 *
 * @param {string} id
 * @param {{changed?: (delivery: Delivery) => void, level?: "h3" | "h4"}} [options] `level` is that of its
 *   headings.
 * @returns {Promise<HTMLElement>} Once it has been shown for the first time.
 */
export async function deliveryPanel(id, { changed = () => {}, level = "h3" } = {}) {
  const panel = new Panel(id, changed, level);
  await panel.follow();
  return panel.element;
}

class Panel {
  element = h("div", { class: "delivery" });
  #progress = h("p", { class: "progress", role: "status" });
  #detail = h("div");
  #error = h("div");
  #id;
  #changed;
  #level;
  /** What is shown, as JSON. */
  #shown = "";
  /** Counts what is followed: an earlier one ends. */
  #following = 0;

  /**
   * @param {string} id
   * @param {(delivery: Delivery) => void} changed
   * @param {"h3" | "h4"} level
   */
  constructor(id, changed, level) {
    this.#id = id;
    this.#changed = changed;
    this.#level = level;
    const again = button("Redeliver", () => void this.#redeliver(again));
    fill(this.element, this.#progress, this.#detail, h("div", { class: "actions" }, again), this.#error);
  }

  /** Looks at once, and then again and again in the background while it is pending. */
  async follow() {
    this.#following += 1;
    const mine = this.#following;
    try {
      const detail = await whileBusy(this.element, () => getDelivery(this.#id));
      this.#show(detail);
      if (detail.delivery.state === "pending") {
        void this.#followOn(mine);
      }
    } catch (error) {
      fill(
        this.#error,
        problem(error, () => void this.follow()),
      );
    }
  }

  /** @param {number} mine */
  async #followOn(mine) {
    for (let round = 0; ; round += 1) {
      await sleep(WAITS_MS[round] ?? LONGEST_WAIT_MS);
      // Somebody went on to another view, or asked for it anew.
      if (mine !== this.#following || !this.element.isConnected) {
        return;
      }
      try {
        const detail = await getDelivery(this.#id);
        this.#show(detail);
        if (detail.delivery.state !== "pending") {
          return;
        }
      } catch (error) {
        if (
          !(error instanceof XrpcError) ||
          (error.status !== 429 && error.status < 500 && error.status !== 0)
        ) {
          fill(
            this.#error,
            problem(error, () => void this.follow()),
          );
          return;
        }
        await sleep(LONGEST_WAIT_MS);
      }
    }
  }

  /** @param {HTMLButtonElement} pressed */
  async #redeliver(pressed) {
    await attempt(this.#error, this.element, pressed, async () => {
      await redeliver(this.#id);
      announce("It is due again.");
      await this.follow();
    });
  }

  /** @param {Detail} detail */
  #show(detail) {
    const text = JSON.stringify(detail);
    if (text === this.#shown) {
      return;
    }
    this.#shown = text;
    const { delivery, attempts, body } = detail;
    fill(this.#error);
    fill(this.#progress, badge(delivery.state), " ", progressText(delivery));
    fill(
      this.#detail,
      facts([
        ["Event", delivery.type],
        ["Made", timeOr(delivery.createdAt)],
        ["Next attempt", timeOr(delivery.nextAttemptAt)],
        ["webhook-id", h("code", {}, `msg_${delivery.eventId}`)],
        ["Delivery", h("code", {}, delivery.id)],
      ]),
      attempts.length > 0 && [
        h(this.#level, {}, attempts.length === 1 ? "The attempt" : "Attempts"),
        h("ol", { class: "attempts" }, ...attempts.map(attemptItem)),
      ],
      h(this.#level, {}, delivery.attempts > 0 ? "The body sent" : "The body"),
      body === undefined
        ? h("p", { class: "hint" }, "It is no longer kept, or there is nothing to send.")
        : h(
            "div",
            {},
            h("pre", { tabindex: 0 }, h("code", {}, pretty(body))),
            copyButton(body, "Copy the body as it is sent"),
          ),
    );
    this.#changed(delivery);
  }
}

/** @param {Attempt} one */
function attemptItem({ at, durationMs, outcome, status, response }) {
  return h(
    "li",
    {},
    h(
      "p",
      {},
      timeElement(at),
      ": ",
      outcomeText(outcome, status),
      h("span", { class: "type" }, ` in ${durationText(durationMs)}`),
    ),
    response
      ? h(
          "div",
          {},
          h("p", { class: "hint" }, "The answer:"),
          h("pre", { tabindex: 0 }, h("code", {}, response)),
        )
      : status !== undefined && h("p", { class: "hint" }, "The answer had no body."),
  );
}

/** @param {string} body */
function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
