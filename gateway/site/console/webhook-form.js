// The form of a webhook, to create one or to change it.

import { announce, h, whileBusy } from "../dom.js";
import { dropDraft, keepDraft } from "../drafts.js";
import { Form } from "../form.js";
import { loadLexicon } from "../lexicon.js";
import { changes } from "../values.js";
import {
  CREATE_WEBHOOK,
  EVENTS,
  UPDATE_WEBHOOK,
  createWebhook,
  getWebhook,
  listSecrets,
  updateWebhook,
} from "./methods.js";
import { link } from "./parts.js";
import { showFormError } from "./secrets.js";
import { hashOf } from "./words.js";

/**
 * Fields that the errors of a call are about, where their messages name none.
 *
 * @type {{[error: string]: string}}
 */
const FIELDS = { InvalidUrl: "url", DuplicateWebhook: "url" };

const ORDER = [
  ...["url", "name", "events", "active", "secretId", "description"],
  ...["prefix", "suffix", "rewrite", "muteWords", "streamplaceFormat"],
];

/** What each event is. @type {{[event: string]: string}} */
const ABOUT = {
  chat: "chat: somebody writes in the chat",
  livestream: "livestream: a stream begins",
  follow: "follow: somebody follows the streamer",
  mention: "mention: somebody mentions the streamer",
  "stream.received": "stream.received: the stream is on the air",
};

/**
 * @param {string[]} secrets The names of those that there are.
 * @returns {{[name: string]: import("../field.js").Extra}}
 */
function extras(secrets) {
  return {
    url: {
      label: "URL",
      description: "Where events are sent. It must be reachable.",
      maxLength: 2_048,
      placeholder: "https://hooks.example.com/athook",
      plain: true,
    },
    name: { label: "Name", plain: true },
    description: { label: "Description", plain: true },
    events: {
      label: "Events",
      description: "At least one.",
      choices: EVENTS.map((event) => [event, ABOUT[event]]),
      plain: true,
    },
    active: { label: "Active", description: "Events are sent only while it is.", plain: true },
    secretId: {
      label: "Secret",
      description: "With it receivers verify that a delivery is from here.",
      choices: [
        ["", "none: deliveries are not signed"],
        ...secrets.map((name) => /** @type {[string, string]} */ ([name, name])),
      ],
      plain: true,
    },
    prefix: { label: "Prefix", lines: true, plain: true },
    suffix: { label: "Suffix", lines: true, plain: true },
    rewrite: { label: "Rewrite", maxEntries: 50, plain: true },
    muteWords: { label: "Mute words", maxEntries: 100, plain: true },
    streamplaceFormat: { label: "Streamplace's format", plain: true },
  };
}

/**
 * @param {string} [id] Of the webhook to change. Absent: one is created.
 * @param {(hash: string) => void} [go]
 * @returns {Promise<HTMLElement>}
 */
export async function showWebhookForm(id, go = (hash) => location.assign(hash)) {
  const nsid = id ? UPDATE_WEBHOOK : CREATE_WEBHOOK;
  const [{ main, resolve }, secrets, webhook] = await Promise.all([
    loadLexicon(nsid),
    listSecrets(),
    id ? getWebhook(id) : undefined,
  ]);
  const form = new Form(main.input.schema, {
    resolve,
    within: nsid,
    order: ORDER,
    without: ["id"],
    extras: extras(secrets.map(({ name }) => name)),
  });
  form.value = /** @type {{[key: string]: import("../values.js").Json}} */ (webhook ?? { active: true });
  // What the form makes of it: only what somebody edits differs from that.
  const filled = form.value;
  const draft = id ? `webhook ${id}` : "webhook";
  keepDraft(draft, form);

  const cancel = link(hashOf("webhooks"), "Cancel", {
    class: "button",
    on: { click: () => dropDraft(draft) },
  });
  const submit = h("button", { type: "submit", class: "primary" }, id ? "Save" : "Create webhook");
  const element = h(
    "form",
    {
      class: "card",
      on: {
        submit: async (event) => {
          event.preventDefault();
          if (!form.check()) {
            return;
          }
          try {
            await whileBusy(element, () => save(id, filled, form), submit);
            announce(id ? "The webhook is saved." : "The webhook is created.");
            dropDraft(draft);
            // They may have gone elsewhere meanwhile.
            if (element.isConnected) {
              go(hashOf("webhooks"));
            }
          } catch (error) {
            showFormError(form, error, FIELDS);
          }
        },
      },
    },
    form.element,
    h("div", { class: "actions" }, cancel, submit),
  );
  element.setAttribute("novalidate", "");
  return element;
}

/**
 * @param {string | undefined} id
 * @param {{[key: string]: import("../values.js").Json}} filled What the form had before anybody edited it.
 * @param {Form} form
 */
async function save(id, filled, form) {
  if (!id) {
    await createWebhook(form.value);
    return;
  }
  const changed = changes(filled, form.value, form.names);
  // Without a change there is nothing to save.
  if (Object.keys(changed).length > 0) {
    await updateWebhook({ id, ...changed });
  }
}
