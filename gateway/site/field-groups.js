// Fields that hold others: objects, and arrays of everything.

import { announce, button, fill, h } from "./dom.js";
import { frame, mark } from "./field.js";
import { emptyBox } from "./fields.js";

/** @typedef {import("./field.js").Field} Field */
/** @typedef {import("./field.js").Origin} Origin */
/** @typedef {import("./values.js").Json} Json */
/** @typedef {(origin: Origin) => Field} Make Makes a field of any kind. */

/**
 * An object. One that is optional has no fields until it is added, so that a schema that holds itself ends; where
 * all of them are left out it is left out itself.
 *
 * @param {Origin} origin
 * @param {() => Field[]} makeInside Those of its properties.
 * @param {string[]} names Of the same.
 * @returns {Field}
 */
export function objectField(origin, makeInside, names) {
  const { required, extra } = origin;
  const parts = frame(origin, { group: true });
  /** @type {Field[]} */
  let inside = [];
  let isThere = false;
  const content = h("div");
  const label = extra.label ?? origin.name;
  const add = button(`Add ${label}`, () => {
    show(true);
    field.focus();
  });
  const remove = button(`Remove ${label}`, () => {
    show(false);
    add.focus();
  });
  const show = (/** @type {boolean} */ wanted) => {
    if (wanted !== isThere) {
      isThere = wanted;
      inside = wanted ? makeInside() : [];
    }
    const change = !required && h("div", { class: "actions" }, isThere ? remove : add);
    fill(content, ...inside.map((one) => one.element), change);
  };
  const element = h(
    "fieldset",
    { class: "field group", "aria-describedby": parts.describedBy },
    parts.label,
    parts.hint,
    content,
    parts.error,
  );
  /** @type {Field} */
  const field = {
    path: origin.path,
    element,
    value: () => (isThere ? objectValue(inside, names, required) : undefined),
    set: (value) => {
      show(required || (value !== undefined && value !== null));
      setObject(inside, names, value);
    },
    fields: () => [field, ...inside.flatMap((one) => one.fields())],
    showError: (text) => mark(parts.error, [], text),
    problem: () => "",
    focus: () => (isThere ? inside[0]?.focus() : add.focus()),
  };
  show(required);
  return field;
}

/**
 * @param {Field[]} inside
 * @param {string[]} names
 * @param {boolean} required
 * @returns {Json | undefined}
 */
export function objectValue(inside, names, required) {
  /** @type {{[key: string]: Json}} */
  const value = {};
  inside.forEach((field, index) => {
    const one = field.value();
    if (one !== undefined) {
      value[names[index]] = one;
    }
  });
  // Texts that must be there are there even when nobody has written anything.
  const said = Object.values(value).some((one) => one !== "");
  return required || said ? value : undefined;
}

/**
 * @param {Field[]} inside
 * @param {string[]} names
 * @param {Json | undefined} value
 */
export function setObject(inside, names, value) {
  const object = value && typeof value === "object" && !Array.isArray(value) ? value : {};
  inside.forEach((field, index) => field.set(object[names[index]]));
}

/**
 * An array of some of the values of a list: boxes.
 *
 * @param {Origin} origin
 * @param {[value: string, text: string][]} choices
 * @returns {Field}
 */
export function boxesField(origin, choices) {
  const parts = frame(origin, { group: true });
  const boxes = choices.map(([value], index) =>
    h("input", {
      type: "checkbox",
      id: `${parts.id}-${index}`,
      name: origin.path(),
      value,
      "aria-describedby": `${parts.id}-error`,
    }),
  );
  const labels = boxes.map((box, index) => h("label", { for: box.id }, box, ` ${choices[index][1]}`));
  const { required, extra } = origin;
  const empty =
    required || extra.plain || extra.noEmpty ? undefined : emptyBox(parts.id, "send it although it is empty");
  const element = h(
    "fieldset",
    { class: "field", "aria-describedby": parts.describedBy },
    parts.label,
    parts.hint,
    h("div", { class: "boxes" }, ...labels),
    empty?.element,
    parts.error,
  );
  /** @type {Field} */
  const field = {
    path: origin.path,
    element,
    value: () => {
      const values = boxes.filter((box) => box.checked).map((box) => box.value);
      return values.length > 0 || required || empty?.box.checked ? values : undefined;
    },
    set: (value) => {
      const values = Array.isArray(value) ? value : [];
      for (const box of boxes) {
        box.checked = values.includes(box.value);
      }
      if (empty) {
        empty.box.checked = Array.isArray(value) && value.length === 0;
      }
    },
    fields: () => [field],
    showError: (text) => mark(parts.error, boxes, text),
    problem: () => "",
    focus: () => boxes[0]?.focus(),
  };
  return field;
}

/**
 * An array whose entries are added and removed.
 *
 * @param {Origin} origin
 * @param {(origin: {path: () => string, name: string}) => Field} makeEntry
 * @returns {Field}
 */
export function listField(origin, makeEntry) {
  const { extra, required } = origin;
  const parts = frame(origin, { group: true });
  /** @type {{field: Field, element: HTMLElement}[]} */
  let entries = [];
  const list = h("ol", { class: "entries" });
  const add = button("Add an entry", () => append().focus());
  const empty =
    required || extra.plain || extra.noEmpty ? undefined : emptyBox(parts.id, "send it although it is empty");

  const show = () => {
    fill(list, ...entries.map((entry) => entry.element));
    const limit = extra.maxEntries === undefined ? "" : ` of ${extra.maxEntries}`;
    parts.count.textContent = `${entries.length}${limit} entries`;
    parts.count.classList.toggle("over", entries.length > (extra.maxEntries ?? Infinity));
    add.setAttribute("aria-label", `Add an entry to ${extra.label ?? origin.name}`);
  };
  const append = () => {
    /** @type {{field: Field, element: HTMLElement}} */
    const entry = { field: /** @type {any} */ (undefined), element: h("li") };
    entries.push(entry);
    const name = `${extra.label ?? origin.name} ${entries.length}`;
    entry.field = makeEntry({ path: () => `${origin.path()}[${entries.indexOf(entry)}]`, name });
    const remove = button("Remove", () => {
      const index = entries.indexOf(entry);
      entries.splice(index, 1);
      show();
      announce("Removed.");
      (entries[index] ?? entries[index - 1])?.field.focus() ?? add.focus();
      list.dispatchEvent(new Event("input", { bubbles: true }));
    });
    remove.setAttribute("aria-label", `Remove ${name}`);
    fill(entry.element, entry.field.element, remove);
    show();
    list.dispatchEvent(new Event("input", { bubbles: true }));
    return entry.field;
  };

  const element = h(
    "fieldset",
    { class: "field group", "aria-describedby": parts.describedBy },
    parts.label,
    parts.hint,
    list,
    h("div", { class: "actions" }, add, parts.count),
    empty?.element,
    parts.error,
  );
  show();
  /** @type {Field} */
  const field = {
    path: origin.path,
    element,
    value: () => {
      if (entries.length === 0 && !required && !empty?.box.checked) {
        return undefined;
      }
      return entries.map((entry) => entry.field.value() ?? null);
    },
    set: (value) => {
      entries = [];
      for (const one of Array.isArray(value) ? value : []) {
        append().set(one);
      }
      if (empty) {
        empty.box.checked = Array.isArray(value) && value.length === 0;
      }
      show();
    },
    fields: () => [field, ...entries.flatMap((entry) => entry.field.fields())],
    showError: (text) => mark(parts.error, [], text),
    problem: () => "",
    focus: () => (entries[0] ? entries[0].field.focus() : add.focus()),
  };
  return field;
}
