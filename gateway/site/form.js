// A form for an object of a lexicon: what people write becomes JSON, and the service's errors stand beside
// the fields that they name.

import { fill, h } from "./dom.js";
import { boxesField, listField, objectField, objectValue, setObject } from "./field-groups.js";
import { scalarField } from "./fields.js";
import { fieldOf, pathsAround } from "./values.js";

/** @typedef {import("./field.js").Extra} Extra */
/** @typedef {import("./field.js").Field} Field */
/** @typedef {import("./lexicon.js").Resolve} Resolve */
/** @typedef {import("./lexicon.js").Schema} Schema */
/** @typedef {import("./values.js").Json} Json */

/** How deep objects are shown as fields; deeper ones are JSON. Schemas may refer to themselves. */
const MAX_DEPTH = 5;

/**
 * @typedef {object} Options
 * @property {Resolve} resolve
 * @property {string} within The NSID of the document.
 * @property {string[]} [order] Of the fields; those that are not in it come last.
 * @property {string[]} [without] Fields that are not shown.
 * @property {{[name: string]: Extra}} [extras]
 */

/** The fields of an object, and the error that belongs to none of them. */
export class Form {
  #names;
  #fields;
  #error = h("p", { class: "error", role: "alert" });

  /**
   * @param {Schema} schema An object or the parameters of a query.
   * @param {Options} options
   */
  constructor(schema, { resolve, within, order = [], without = [], extras = {} }) {
    const rank = (/** @type {string} */ name) => (order.includes(name) ? order.indexOf(name) : order.length);
    this.#names = Object.keys(schema.properties ?? {})
      .filter((name) => !without.includes(name))
      .sort((one, other) => rank(one) - rank(other));
    const make = maker(resolve);
    this.#fields = this.#names.map((name) =>
      make(
        {
          path: () => name,
          name,
          schema: /** @type {{[name: string]: Schema}} */ (schema.properties)[name],
          within,
          required: schema.required?.includes(name) ?? false,
          // In a query string an empty value counts as absent.
          extra: { noEmpty: schema.type === "params", ...extras[name] },
        },
        1,
      ),
    );
    this.element = h("div", { class: "fields" }, ...this.#fields.map((field) => field.element), this.#error);
  }

  /** Its fields, in the order in which they stand. */
  get names() {
    return this.#names;
  }

  /** @returns {{[key: string]: Json}} */
  get value() {
    return /** @type {{[key: string]: Json}} */ (objectValue(this.#fields, this.#names, true));
  }

  /** @param {{[key: string]: Json}} value */
  set value(value) {
    setObject(this.#fields, this.#names, value);
  }

  /**
   * Shows what keeps the values from being sent at all.
   *
   * @returns {boolean} Whether they can be sent.
   */
  check() {
    this.clearErrors();
    const wrong = this.#all().filter((field) => field.problem() !== "");
    wrong.forEach((field) => field.showError(field.problem()));
    wrong[0]?.focus();
    return wrong.length === 0;
  }

  clearErrors() {
    this.#all().forEach((field) => field.showError(""));
    fill(this.#error);
  }

  /**
   * Shows an error in the service's own words, beside the field that it names if that is here.
   *
   * @param {string} message
   * @param {string} [otherwise] The field that it is about, where the message names none.
   */
  showError(message, otherwise) {
    const path = fieldOf(message) ?? otherwise;
    const all = this.#all();
    const field =
      path && pathsAround(path).flatMap((one) => all.find((field) => field.path() === one) ?? [])[0];
    if (field) {
      field.showError(message);
      field.focus();
    } else {
      this.#error.textContent = message;
    }
  }

  focus() {
    this.#fields[0]?.focus();
  }

  #all() {
    return this.#fields.flatMap((field) => field.fields());
  }
}

/**
 * Makes fields of every kind.
 *
 * @param {Resolve} resolve
 * @returns {(origin: import("./field.js").Origin, depth: number) => Field}
 */
function maker(resolve) {
  /** @type {(origin: import("./field.js").Origin, depth: number) => Field} */
  const make = (unresolved, depth) => {
    const origin = { ...unresolved, ...resolve(unresolved.schema, unresolved.within) };
    const { schema, within, path, extra } = origin;
    if (depth > MAX_DEPTH) {
      return scalarField({ ...origin, schema: { ...schema, type: "unknown" } });
    }
    if (schema.type === "object" && schema.properties) {
      const names = Object.keys(schema.properties);
      const inside = () =>
        names.map((name) =>
          make(
            {
              path: () => `${path()}.${name}`,
              name,
              schema: /** @type {{[name: string]: Schema}} */ (schema.properties)[name],
              within,
              required: schema.required?.includes(name) ?? false,
              extra: { plain: extra.plain },
            },
            depth + 1,
          ),
        );
      return objectField(origin, inside, names);
    }
    if (schema.type === "array" && schema.items) {
      const items = resolve(schema.items, within);
      if (items.schema.type === "string" && items.schema.enum) {
        return boxesField(
          origin,
          extra.choices ?? items.schema.enum.map((value) => [String(value), String(value)]),
        );
      }
      return listField(origin, ({ path, name }) =>
        make({ path, name, ...items, required: true, extra: { plain: extra.plain, entry: true } }, depth + 1),
      );
    }
    return scalarField(origin);
  };
  return make;
}
