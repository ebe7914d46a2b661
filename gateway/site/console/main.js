// The console: shows the view that the fragment of the address names, to whoever is signed in.

import { loadConfig } from "../config.js";
import { holdDrafts } from "../drafts.js";
import { fill, focusOn, h, whileBusy } from "../dom.js";
import { account } from "../session.js";
import { signInForm } from "../sign-in.js";
import { showDeliveries, showDelivery } from "./deliveries.js";
import { problem } from "./parts.js";
import { showRecords } from "./records.js";
import { showSecrets } from "./secrets.js";
import { shownTokens } from "./tokens.js";
import { showWebhookForm } from "./webhook-form.js";
import { showWebhooks } from "./webhooks.js";
import { routeOf } from "./words.js";

/** @typedef {import("./words.js").Route} Route */

/** @type {[view: Route["view"], hash: string, text: string][]} */
const TABS = [
  ["webhooks", "#webhooks", "Webhooks"],
  ["secrets", "#secrets", "Secrets"],
  ["records", "#records", "Records"],
];

/** @type {{[view in Route["view"]]: {title: string, show: (id: string) => Promise<HTMLElement>, tab: Route["view"]}}} */
const VIEWS = {
  webhooks: { title: "Webhooks", show: showWebhooks, tab: "webhooks" },
  new: { title: "Create a webhook", show: () => showWebhookForm(), tab: "webhooks" },
  webhook: { title: "Edit a webhook", show: (id) => showWebhookForm(id), tab: "webhooks" },
  secrets: { title: "Secrets", show: showSecrets, tab: "secrets" },
  records: { title: "wh records", show: showRecords, tab: "records" },
  deliveries: { title: "Deliveries", show: showDeliveries, tab: "webhooks" },
  delivery: { title: "Delivery", show: showDelivery, tab: "webhooks" },
};

const place = /** @type {HTMLElement} */ (document.getElementById("console"));
/** Counts views: one that is loaded too late is not shown. */
let shown = 0;

/** @param {boolean} moveFocus Not when the page is opened. */
async function show(moveFocus) {
  shown += 1;
  const mine = shown;
  if (!account.way) {
    const config = await loadConfig();
    fill(
      place,
      h("h2", {}, "Sign in"),
      h("p", {}, "The console shows your own secrets and webhooks."),
      signInForm(config),
    );
    return;
  }
  const { view, id } = routeOf(location.hash);
  const { title, show: showView, tab } = VIEWS[view];
  document.title = `${title} · Console · athook`;
  const heading = h("h2", {}, title);
  const body = h("div", { class: "view" });
  fill(
    place,
    h(
      "nav",
      { class: "tabs", "aria-label": "Console" },
      ...TABS.map(([name, href, text]) => h("a", { href, "aria-current": name === tab && "page" }, text)),
    ),
    heading,
    shownTokens,
    body,
  );
  if (moveFocus) {
    focusOn(heading);
  }
  try {
    const content = await whileBusy(body, () => showView(id));
    if (mine === shown) {
      fill(body, content);
    }
  } catch (error) {
    if (mine === shown) {
      fill(
        body,
        problem(error, () => void show(true)),
      );
    }
  }
}

try {
  await account.start();
  addEventListener("hashchange", () => {
    holdDrafts();
    void show(true);
  });
  let who = account.way?.did;
  account.addEventListener("change", () => {
    // The same person once more: what they were writing stays.
    if (account.way?.did !== who || !place.querySelector(".view")) {
      void show(false);
    }
    who = account.way?.did;
  });
  await show(false);
} catch (error) {
  fill(
    place,
    problem(error, () => location.reload()),
  );
}
