// Signing secrets: made, given a new token, deleted. A token is shown once.

import { ask } from "../dialog.js";
import { announce, button, fill, focusOn, h, uniqueId, whileBusy } from "../dom.js";
import { dropDraft, keepDraft } from "../drafts.js";
import { Form } from "../form.js";
import { loadLexicon } from "../lexicon.js";
import { XrpcError } from "../xrpc.js";
import { CREATE_SECRET, createSecret, deleteSecret, listSecrets, rotateSecret } from "./methods.js";
import { attempt, facts, pagedList, timeOr } from "./parts.js";
import { tokenShower } from "./tokens.js";

/** @typedef {import("./methods.js").Secret} Secret */

/**
 * Fields that the errors of a call are about, where their messages name none.
 *
 * @type {{[error: string]: string}}
 */
const FIELDS = { AlreadyExists: "name" };

/** The key of what is written in the form. */
const DRAFT = "secret";

/** @returns {Promise<HTMLElement>} */
export async function showSecrets() {
  /** @type {import("./parts.js").Paged} */
  const list = pagedList({
    label: "Secrets",
    load: async () => ({ entries: await listSecrets() }),
    show: (secret) => card(secret, () => list.reload()),
    empty: [
      h("p", {}, "You have no secrets yet. With one, receivers can verify that a delivery is from here."),
    ],
  });
  const [form] = await Promise.all([createForm(() => list.reload()), list.ready]);
  return h("div", {}, list.element, form);
}

/** @param {() => Promise<void>} changed */
async function createForm(changed) {
  const { main, resolve } = await loadLexicon(CREATE_SECRET);
  const form = new Form(main.input.schema, {
    resolve,
    within: CREATE_SECRET,
    order: ["name", "token"],
    extras: {
      name: {
        label: "Name",
        description: "1 to 512 of A-Z a-z 0-9 . _ ~ : -",
        maxLength: 512,
        plain: true,
        placeholder: "deploys",
      },
      token: {
        label: "Token",
        description:
          "Leave it empty, and one is made. Your own has 32 to 256 printable ASCII characters, no space.",
        plain: true,
      },
    },
  });
  const submit = h("button", { type: "submit", class: "primary" }, "Create secret");
  const heading = h("h3", { id: uniqueId("create") }, "Create a secret");
  const element = h(
    "form",
    {
      class: "card",
      "aria-labelledby": heading.id,
      on: {
        submit: async (event) => {
          event.preventDefault();
          form.clearErrors();
          try {
            const show = tokenShower();
            const made = await whileBusy(element, () => createSecret(form.value), submit);
            form.value = {};
            dropDraft(DRAFT);
            keepDraft(DRAFT, form);
            show(made, `The secret ${made.name} is made.`);
            await changed();
          } catch (error) {
            showFormError(form, error, FIELDS);
          }
        },
      },
    },
    heading,
    form.element,
    h("div", { class: "actions" }, submit),
  );
  element.setAttribute("novalidate", "");
  keepDraft(DRAFT, form);
  return element;
}

/**
 * @param {Form} form
 * @param {unknown} error
 * @param {{[error: string]: string}} fields
 */
export function showFormError(form, error, fields) {
  const { message } = /** @type {Error} */ (error);
  form.showError(message, error instanceof XrpcError ? fields[error.error] : undefined);
}

/**
 * @param {Secret} secret
 * @param {() => Promise<void>} changed
 */
function card(secret, changed) {
  const { name, createdAt, lastRotatedAt } = secret;
  const error = h("div");
  const element = h("article", { class: "card", "aria-label": `Secret ${name}` });
  const rotate = button("Rotate", async () => {
    const agreed = await ask({
      title: `Rotate ${name}?`,
      text: [
        h(
          "p",
          {},
          "The secret gets a new token, which is shown once. The old one stops working, so receivers must be given the new one.",
        ),
      ],
      action: "Rotate",
    });
    if (agreed) {
      await attempt(error, element, rotate, async () => {
        const show = tokenShower();
        show(await rotateSecret({ name }), `The secret ${name} has a new token.`);
        await changed();
      });
    }
  });
  const remove = button("Delete", async () => {
    const agreed = await ask({
      title: `Delete ${name}?`,
      text: [
        h(
          "p",
          {},
          "Nothing can be verified with it any more. A secret that a webhook of yours uses can't be deleted; deliveries of wh records that name it wait.",
        ),
      ],
      action: "Delete",
      danger: true,
    });
    if (agreed) {
      await attempt(error, element, remove, async () => {
        await deleteSecret(name);
        await changed();
        announce(`The secret ${name} is deleted.`);
        const heading = document.querySelector("#console h2");
        if (heading instanceof HTMLElement) {
          focusOn(heading);
        }
      });
    }
  });
  rotate.setAttribute("aria-label", `Rotate ${name}`);
  remove.setAttribute("aria-label", `Delete ${name}`);
  fill(
    element,
    h("h3", {}, name),
    facts([
      ["Made", timeOr(createdAt)],
      ["Last rotated", timeOr(lastRotatedAt)],
    ]),
    h("div", { class: "actions" }, rotate, remove),
    error,
  );
  return element;
}
