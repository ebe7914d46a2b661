// The fields for each kind of single value that a lexicon has.

import { h } from "./dom.js";
import { frame, single } from "./field.js";
import { byteCount, isSecretName, parseInteger, parseLocalTime, toLocalTime } from "./values.js";

/** @typedef {import("./field.js").Field} Field */
/** @typedef {import("./field.js").Origin} Origin */
/** @typedef {import("./values.js").Json} Json */

/** From how many bytes on a text gets several lines. */
const LONG_TEXT = 300;

/** What stands below a field that has a secret. */
const NOT_KEPT = "Write it last: it is not kept if you go elsewhere, such as to sign in.";

/**
 * @param {Origin} origin
 * @returns {Field}
 */
export function scalarField(origin) {
  const { schema, extra } = origin;
  switch (schema.type) {
    case "boolean":
      return booleanField(origin);
    case "integer":
      return schema.enum ? choiceField(origin, schema.enum.map(plain)) : integerField(origin);
    case "string":
      if (extra.choices) {
        return choiceField(origin, extra.choices);
      }
      if (schema.enum) {
        return choiceField(origin, schema.enum.map(plain));
      }
      return schema.format === "datetime" ? timeField(origin) : textField(origin);
    default:
      return jsonField(origin);
  }
}

/** @param {string | number} value @returns {[string, string]} */
function plain(value) {
  return [String(value), String(value)];
}

/**
 * What controls of every kind have.
 *
 * @param {Origin} origin
 * @param {ReturnType<typeof frame>} parts
 */
function attributes({ path, required }, { id, describedBy }) {
  return { id, name: path(), "aria-describedby": describedBy, "aria-required": required && "true" };
}

/** @param {Origin} origin @returns {Field} */
function textField(origin) {
  const { schema, extra, required } = origin;
  const parts = frame(origin);
  const limits = { minLength: schema.minLength, maxLength: extra.maxLength ?? schema.maxLength };
  const shared = {
    ...attributes(origin, parts),
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: schema.format ? "false" : undefined,
    placeholder: extra.placeholder,
  };
  const control =
    extra.lines || ((limits.maxLength ?? 0) >= LONG_TEXT && !schema.format)
      ? h("textarea", { ...shared, rows: 3 })
      : h("input", { ...shared, type: "text", inputmode: schema.format === "uri" ? "url" : undefined });
  const known = schema.knownValues && suggestions(parts.id, schema.knownValues);
  if (known) {
    // Not one of the attributes of `h`: it names an element of ours.
    control.setAttribute("list", known.id);
  }
  // Controls change line ends, or drop them. What nobody has edited stays as it was.
  let [filled, shown] = ["", ""];
  const written = () => (control.value === shown ? filled : control.value);
  const count = () => {
    const { text, fits } = byteCount(written(), limits);
    parts.count.textContent = text;
    parts.count.classList.toggle("over", !fits);
  };
  if (limits.maxLength !== undefined) {
    control.addEventListener("input", count);
    count();
  }
  const empty =
    required || extra.plain || extra.noEmpty ? undefined : emptyBox(parts.id, "send it although it is empty");
  return single(
    origin,
    parts,
    control,
    {
      value: () => (written() === "" && !required && !empty?.box.checked ? undefined : written()),
      set: (value) => {
        filled = typeof value === "string" ? value : "";
        control.value = filled;
        shown = control.value;
        if (empty) {
          empty.box.checked = value === "";
        }
      },
    },
    [known, empty?.element, isSecretName(origin.name) && h("p", { class: "hint" }, NOT_KEPT)],
  );
}

/**
 * @param {string} id
 * @param {string[]} values
 */
function suggestions(id, values) {
  return h("datalist", { id: `${id}-values` }, ...values.map((value) => h("option", { value })));
}

/**
 * A box for an optional field that is empty: it is left out unless the box is checked.
 *
 * @param {string} id
 * @param {string} text
 */
export function emptyBox(id, text) {
  const box = h("input", { type: "checkbox", id: `${id}-empty` });
  return { box, element: h("label", { class: "empty-box", for: `${id}-empty` }, box, ` ${text}`) };
}

/** @param {Origin} origin @returns {Field} */
function integerField(origin) {
  const { schema } = origin;
  const parts = frame(origin);
  const control = h("input", {
    ...attributes(origin, parts),
    type: "text",
    inputmode: "numeric",
    autocomplete: "off",
    placeholder: schema.default,
  });
  return single(origin, parts, control, {
    value: () => (control.value.trim() === "" ? undefined : parseInteger(control.value)),
    set: (value) => {
      control.value = typeof value === "number" ? String(value) : "";
    },
    problem: () =>
      control.value.trim() === "" || parseInteger(control.value) !== undefined
        ? ""
        : "This must be a whole number.",
  });
}

/** @param {Origin} origin @returns {Field} */
function timeField(origin) {
  const parts = frame(origin);
  const control = h("input", { ...attributes(origin, parts), type: "datetime-local", step: "0.001" });
  const sent = () => {
    const time = parseLocalTime(control.value);
    parts.count.textContent = time ? `sent as ${time}` : "in your zone";
  };
  control.addEventListener("input", sent);
  sent();
  return single(origin, parts, control, {
    value: () => parseLocalTime(control.value),
    set: (value) => {
      control.value = typeof value === "string" ? toLocalTime(value) : "";
    },
    problem: () => (control.validity.badInput ? "This must be a date and a time." : ""),
  });
}

/** @param {Origin} origin @returns {Field} */
function booleanField(origin) {
  const { schema, required, extra } = origin;
  if (extra.plain) {
    return boxField(origin);
  }
  const absent = schema.default === undefined ? "not given" : `not given (${schema.default})`;
  /** @type {[string, string][]} */
  const choices = [
    ["false", "false"],
    ["true", "true"],
  ];
  return chosen(origin, required ? choices : [["", absent], ...choices], (text) =>
    text === "" ? undefined : text === "true",
  );
}

/**
 * A box for a page that says for itself what a field means: checked or not, never left out.
 *
 * @param {Origin} origin
 * @returns {Field}
 */
function boxField(origin) {
  const parts = frame(origin);
  const control = h("input", { ...attributes(origin, parts), type: "checkbox" });
  const field = single(origin, parts, control, {
    value: () => control.checked,
    set: (value) => {
      control.checked = value === true;
    },
  });
  field.element.classList.add("box");
  return field;
}

/**
 * @param {Origin} origin
 * @param {[value: string, text: string][]} values
 * @returns {Field}
 */
function choiceField(origin, values) {
  const { schema, required, extra } = origin;
  const absent = schema.default === undefined ? "not given" : `not given (${schema.default})`;
  /** @type {[string, string][]} */
  const choices = required || extra.choices ? values : [["", absent], ...values];
  return chosen(origin, choices, (text) => {
    if (text === "") {
      return undefined;
    }
    return schema.type === "integer" ? Number(text) : text;
  });
}

/**
 * @param {Origin} origin
 * @param {[value: string, text: string][]} choices
 * @param {(text: string) => Json | undefined} read
 * @returns {Field}
 */
function chosen(origin, choices, read) {
  const parts = frame(origin);
  const control = h(
    "select",
    attributes(origin, parts),
    ...choices.map(([value, text]) => h("option", { value }, text)),
  );
  return single(origin, parts, control, {
    value: () => read(control.value),
    set: (value) => {
      const text = value === undefined ? "" : String(value);
      // A value that is no longer among them is kept.
      if (text !== "" && ![...control.options].some((option) => option.value === text)) {
        control.append(h("option", { value: text }, text));
      }
      control.value = text;
      if (control.selectedIndex < 0) {
        control.selectedIndex = 0;
      }
    },
  });
}

/**
 * For what has no control of its own.
 *
 * @param {Origin} origin
 * @returns {Field}
 */
function jsonField(origin) {
  const parts = frame(origin);
  const control = h("textarea", {
    ...attributes(origin, parts),
    rows: 3,
    spellcheck: "false",
    class: "code",
  });
  parts.count.textContent = "as JSON";
  const parse = () => {
    try {
      return { value: JSON.parse(control.value) };
    } catch {
      return undefined;
    }
  };
  return single(origin, parts, control, {
    value: () => (control.value.trim() === "" ? undefined : parse()?.value),
    set: (value) => {
      control.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    },
    problem: () => (control.value.trim() === "" || parse() ? "" : "This must be JSON."),
  });
}
