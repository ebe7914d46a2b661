// One field of a form: its label, what it is for, its control, its count of bytes, and the error beside it.

import { h, uniqueId } from "./dom.js";
import { rulesOf } from "./lexicon.js";

/** @typedef {import("./values.js").Json} Json */
/** @typedef {import("./lexicon.js").Schema} Schema */

/**
 * What every field can do, a group of fields too.
 *
 * @typedef {object} Field
 * @property {() => string} path Where its value is, as the service's errors say it: `rewrite[2].from`.
 * @property {HTMLElement} element
 * @property {() => Json | undefined} value `undefined`: the field is left out.
 * @property {(value: Json | undefined) => void} set
 * @property {() => Field[]} fields It and those in it.
 * @property {(text: string) => void} showError Empty: there is none.
 * @property {() => string} problem Why its value can't be sent at all; empty if it can.
 * @property {() => void} focus
 */

/**
 * What a page says about a field beyond its schema.
 *
 * @typedef {object} Extra
 * @property {string} [label] In place of the name.
 * @property {string} [description]
 * @property {number} [maxLength] In bytes.
 * @property {number} [maxEntries]
 * @property {[value: string, text: string][]} [choices] The values that there are, and how they are shown.
 * @property {string} [placeholder]
 * @property {boolean} [lines] A text of several lines.
 * @property {boolean} [plain] It is a page for people who don't read lexicons: no type, and nothing can be
 *   sent empty.
 * @property {boolean} [noEmpty] An empty value can't be sent, so that there is no box for it.
 * @property {boolean} [entry] It is one of a list, which says all there is to say.
 */

/**
 * What a field is made from.
 *
 * @typedef {object} Origin
 * @property {() => string} path
 * @property {string} name
 * @property {Schema} schema Without references.
 * @property {string} within The document of the schema's references.
 * @property {boolean} required
 * @property {Extra} extra
 */

/**
 * The parts around a control, or around a group of them.
 *
 * @param {Origin} origin
 * @param {{group?: boolean}} [options] A group has a legend.
 */
export function frame({ name, schema, required, extra }, { group = false } = {}) {
  const id = uniqueId("field");
  const mark = required && !extra.entry && h("span", { class: "required" }, " required");
  const label = group
    ? h("legend", {}, extra.label ?? name, mark)
    : h("label", { for: id }, extra.label ?? name, mark);
  const said = extra.entry ? undefined : (extra.description ?? schema.description);
  const rules = !extra.plain && h("span", { class: "type" }, rulesOf(schema));
  const hint = h("p", { class: "hint", id: `${id}-hint` }, said, said && rules && " ", rules);
  const count = h("p", { class: "count", id: `${id}-count` });
  const error = h("p", { class: "error", id: `${id}-error` });
  return { id, label, hint, count, error, describedBy: `${id}-hint ${id}-count ${id}-error` };
}

/**
 * Shows an error beside a field, and marks its control.
 *
 * @param {HTMLElement} error
 * @param {HTMLElement[]} controls
 * @param {string} text
 */
export function mark(error, controls, text) {
  error.textContent = text;
  for (const control of controls) {
    if (text) {
      control.setAttribute("aria-invalid", "true");
    } else {
      control.removeAttribute("aria-invalid");
    }
  }
}

/**
 * A field with one control.
 *
 * @param {Origin} origin
 * @param {ReturnType<typeof frame>} parts
 * @param {HTMLElement} control Has the id of the parts.
 * @param {{value: () => Json | undefined, set: (value: Json | undefined) => void, problem?: () => string}}
 *   does
 * @param {import("./dom.js").Child[]} [below] What stands below the control besides.
 * @returns {Field}
 */
export function single(origin, parts, control, { value, set, problem = () => "" }, below = []) {
  const element = h(
    "div",
    { class: "field" },
    parts.label,
    parts.hint,
    control,
    parts.count,
    ...below,
    parts.error,
  );
  /** @type {Field} */
  const field = {
    path: origin.path,
    element,
    value,
    set: (next) => {
      set(next);
      // Counts follow.
      control.dispatchEvent(new Event("input", { bubbles: true }));
    },
    fields: () => [field],
    showError: (text) => mark(parts.error, [control], text),
    problem,
    focus: () => control.focus(),
  };
  return field;
}
