// Sends a sample event to a webhook, and shows the attempt as it happens.

import { button, fill, h, uniqueId } from "../dom.js";
import { deliveryPanel } from "./delivery.js";
import { EVENTS, sendTest } from "./methods.js";
import { attempt } from "./parts.js";

/**
 * @param {string} webhookId The id of a webhook, or the at-uri of a record.
 * @param {object} options
 * @param {string} options.title What the webhook is called.
 * @param {string[]} [options.events] Those that it asks for. A record's tests have no choice of event.
 * @param {() => void} [options.done] The delivery has come to an end.
 * @returns {{control: HTMLElement, place: HTMLElement}} The button, and where the attempt is shown.
 */
export function testParts(webhookId, { title, events, done = () => {} }) {
  const place = h("div", { class: "test" });
  const error = h("div");
  const id = uniqueId("event");
  const choice =
    events &&
    h(
      "select",
      { id, name: "event", "aria-label": `The event of the test for ${title}` },
      ...[...events, ...EVENTS.filter((event) => !events.includes(event))].map((value) =>
        h("option", { value }, value),
      ),
    );
  const send = button("Send test", () =>
    attempt(error, control, send, async () => {
      fill(place);
      const delivery = await sendTest(webhookId, choice?.value);
      const panel = await deliveryPanel(delivery, {
        level: "h4",
        changed: ({ state }) => {
          if (state !== "pending") {
            done();
          }
        },
      });
      fill(
        place,
        h(
          "div",
          { class: "toolbar" },
          h("h4", {}, "Test"),
          button("Close", () => {
            fill(place);
            send.focus();
          }),
        ),
        panel,
      );
    }),
  );
  send.setAttribute("aria-label", `Send test to ${title}`);
  const control = h("span", { class: "send-test" }, choice, send);
  return { control, place: h("div", {}, error, place) };
}
