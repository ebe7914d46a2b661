// Forms, over as little of a document as they use.

import assert from "node:assert/strict";
import { test } from "node:test";

class FakeElement extends EventTarget {
  /** @type {any[]} */
  children = [];
  /** @type {Record<string, string>} */
  attributes = {};
  checked = false;
  focused = false;
  validity = { badInput: false };
  classList = { add() {}, toggle() {} };
  /** @type {string | undefined} */
  #value;

  /** @param {string} tag */
  constructor(tag) {
    super();
    this.tag = tag;
  }
  /** @param {string} name @param {unknown} value */
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  /** @param {string} name */
  removeAttribute(name) {
    delete this.attributes[name];
  }
  /** @param {...any} children */
  append(...children) {
    this.children.push(...children);
  }
  /** @param {...any} children */
  replaceChildren(...children) {
    this.children = children;
  }
  focus() {
    this.focused = true;
  }
  get id() {
    return this.attributes.id;
  }
  get options() {
    return this.children;
  }
  get value() {
    return this.#value ?? this.attributes.value ?? (this.tag === "select" ? this.children[0].value : "");
  }
  set value(value) {
    // As browsers do.
    const lineEnd = { input: "", textarea: "\n" }[this.tag];
    this.#value = lineEnd === undefined ? value : value.replace(/\r\n?|\n/g, lineEnd);
  }
  get selectedIndex() {
    return this.children.findIndex((option) => option.value === this.value);
  }
  set selectedIndex(index) {
    this.value = this.children[index].value;
  }
  get textContent() {
    return this.children.map((child) => (typeof child === "string" ? child : child.textContent)).join("");
  }
  set textContent(text) {
    this.children = text === "" ? [] : [text];
  }
  /** @returns {FakeElement[]} */
  all() {
    return [this, ...this.children.flatMap((child) => (child instanceof FakeElement ? child.all() : []))];
  }
}

/** @type {any} */ (globalThis).document = {
  createElement: (/** @type {string} */ tag) => new FakeElement(tag),
  body: new FakeElement("body"),
};

const { Form } = await import("./form.js");
const { resolver } = await import("./lexicon.js");

const RULE = {
  type: "object",
  required: ["from", "to"],
  properties: {
    from: { type: "string", minLength: 1, maxLength: 100 },
    to: { type: "string", maxLength: 100 },
  },
};
const resolve = resolver({ "a.b.defs": { id: "a.b.defs", defs: { rule: RULE } } });
const EVERYTHING = {
  type: "object",
  required: ["text", "kinds", "flag"],
  properties: {
    text: { type: "string", maxLength: 10 },
    more: { type: "string" },
    long: { type: "string", maxLength: 500 },
    known: { type: "string", knownValues: ["a", "b"] },
    one: { type: "string", enum: ["x", "y"] },
    number: { type: "integer", minimum: 1 },
    size: { type: "integer", enum: [1, 2] },
    flag: { type: "boolean" },
    maybe: { type: "boolean", default: false },
    when: { type: "string", format: "datetime" },
    kinds: { type: "array", items: { type: "string", enum: ["chat", "follow"] } },
    words: { type: "array", items: { type: "string", maxLength: 100 } },
    numbers: { type: "array", items: { type: "integer" } },
    rules: { type: "array", items: { type: "ref", ref: "a.b.defs#rule" } },
    nested: {
      type: "object",
      properties: { inner: { type: "object", properties: { deep: { type: "string" } } } },
    },
    anything: { type: "unknown" },
  },
};
const VALUE = {
  text: "é",
  more: "m",
  long: "l",
  known: "c",
  one: "y",
  number: -3,
  size: 2,
  flag: false,
  maybe: true,
  when: "2026-11-29T12:00:00.123Z",
  kinds: ["follow"],
  words: ["", "b"],
  numbers: [1, 2],
  rules: [{ from: "a", to: "" }],
  nested: { inner: { deep: "d" } },
  anything: { $type: "x", list: [1, null] },
};

/** @param {any} [schema] */
const make = (schema = EVERYTHING, options = {}) =>
  new Form(schema, { resolve, within: "a.b.c", ...options });

/** @param {any} form @returns {FakeElement[]} */
const controls = (form) => form.element.all().filter((/** @type {FakeElement} */ one) => one.attributes.name);
/** @param {any} form @param {string} name */
const control = (form, name) =>
  /** @type {FakeElement} */ (controls(form).find((one) => one.attributes.name === name));
/** @param {any} form */
const errors = (form) =>
  form.element
    .all()
    .filter((/** @type {FakeElement} */ one) => one.attributes.class === "error" && one.textContent !== "")
    .map((/** @type {FakeElement} */ one) => one.textContent);

test("every kind of value goes in and comes out", () => {
  const form = make();
  form.value = VALUE;
  assert.deepEqual(form.value, VALUE);
});

test("an empty form has what is required, and nothing else", () => {
  assert.deepEqual(make().value, { text: "", flag: false, kinds: [] });
});

test("line ends that nobody has edited stay as they were", () => {
  const form = make();
  const texts = { text: "a\nb", long: "a\r\nb", words: ["a\nb", "c"], rules: [{ from: "\n", to: "x\r\n" }] };
  const value = { ...texts, flag: true, kinds: [] };
  form.value = value;
  assert.deepEqual(form.value, value);
  assert.equal(control(form, "long").value, "a\nb");
  control(form, "words[1]").value = "d";
  control(form, "text").value = "abc";
  assert.deepEqual(form.value, { ...value, text: "abc", words: ["a\nb", "d"] });
});

test("setting a value takes the one before away", () => {
  const form = make();
  form.value = VALUE;
  form.value = { text: "t" };
  assert.deepEqual(form.value, { text: "t", flag: false, kinds: [] });
});

test("an empty text or list is sent if that is asked for", () => {
  const form = make();
  form.value = { text: "t", more: "", words: [], flag: true, kinds: [] };
  assert.deepEqual(form.value, { text: "t", more: "", words: [], flag: true, kinds: [] });
});

test("the parameters of a query are never empty", () => {
  const form = make({
    type: "params",
    properties: { cursor: { type: "string" }, limit: { type: "integer", default: 50 } },
  });
  form.value = { cursor: "" };
  assert.deepEqual(form.value, {});
});

test("what is no number is said before anything is sent", () => {
  const form = make();
  control(form, "number").value = "many";
  assert.equal(form.check(), false);
  assert.deepEqual(errors(form), ["This must be a whole number."]);
  control(form, "number").value = "5";
  assert.equal(form.check(), true);
  assert.deepEqual(errors(form), []);
});

test("an error stands beside its field, which gets the focus", () => {
  const form = make();
  form.value = VALUE;
  form.showError("input.rules[0].from: must be 1 to 100 bytes");
  assert.deepEqual(errors(form), ["input.rules[0].from: must be 1 to 100 bytes"]);
  const field = control(form, "rules[0].from");
  assert.ok(field.focused);
  assert.equal(field.attributes["aria-invalid"], "true");
  form.clearErrors();
  assert.deepEqual(errors(form), []);
  assert.equal(field.attributes["aria-invalid"], undefined);
});

test("an error within a field stands beside that field", () => {
  const form = make();
  form.value = VALUE;
  form.showError("input.kinds[1]: must be one of chat, follow");
  assert.deepEqual(
    controls(form)
      .filter((one) => one.attributes["aria-invalid"])
      .map((one) => one.attributes.name),
    ["kinds", "kinds"],
  );
});

test("an error that names no field stands below all, or where the page says", () => {
  const form = make();
  form.showError("the limit of 50 webhooks is reached");
  assert.deepEqual(errors(form), ["the limit of 50 webhooks is reached"]);
  form.clearErrors();
  form.showError("exists already", "text");
  assert.equal(control(form, "text").attributes["aria-invalid"], "true");
  form.clearErrors();
  form.showError("input.elsewhere: required");
  assert.deepEqual(errors(form), ["input.elsewhere: required"]);
});

test("a page's own list of values keeps one that is gone", () => {
  /** @type {any} */
  const extras = {
    more: {
      choices: [
        ["", "none"],
        ["a", "a"],
      ],
      plain: true,
    },
  };
  const form = make(EVERYTHING, { extras });
  form.value = { text: "t", more: "deleted" };
  assert.equal(form.value.more, "deleted");
  form.value = { text: "t" };
  assert.equal(form.value.more, undefined);
});

test("a page's own order, and what it leaves out", () => {
  const form = make(EVERYTHING, { order: ["kinds", "text"], without: Object.keys(VALUE).slice(3) });
  assert.deepEqual(form.names, ["text", "more", "long"]);
  assert.deepEqual(make(EVERYTHING, { order: ["when", "text"] }).names.slice(0, 3), ["when", "text", "more"]);
});

test("a schema that holds itself ends somewhere", () => {
  const self = {
    type: "object",
    properties: { again: { type: "ref", ref: "#self" }, text: { type: "string" } },
  };
  const form = make(self, { resolve: resolver({ "a.b.c": { id: "a.b.c", defs: { self } } }) });
  form.value = { again: { again: { text: "t" } } };
  assert.deepEqual(form.value, { again: { again: { text: "t" } } });
});

test("a schema that holds itself many times has no fields until somebody adds them", () => {
  const again = { type: "ref", ref: "#self" };
  const names = Array.from({ length: 40 }, (_, index) => `again${index}`);
  const self = { type: "object", properties: Object.fromEntries(names.map((name) => [name, again])) };
  const form = make(self, { resolve: resolver({ "a.b.c": { id: "a.b.c", defs: { self } } }) });
  assert.ok(/** @type {any} */ (form.element).all().length < 1_000);
  assert.deepEqual(form.value, {});
});

test("what others wrote stays text", () => {
  const hostile = '<script>alert(1)</script>" onload="x';
  const form = make({ type: "object", properties: { text: { type: "string", description: hostile } } });
  form.value = { text: hostile };
  const tags = new Set(
    /** @type {any} */ (form.element).all().map((/** @type {FakeElement} */ one) => one.tag),
  );
  assert.ok(!tags.has("script"));
  assert.equal(form.value.text, hostile);
});
