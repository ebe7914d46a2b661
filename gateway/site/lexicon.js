// Lexicon documents of this service, as forms are made from them.

import { getJson } from "./xrpc.js";

/**
 * A definition of a lexicon, as far as forms look at it.
 *
 * @typedef {object} Schema
 * @property {string} type
 * @property {string} [description]
 * @property {string} [ref]
 * @property {string} [format]
 * @property {{[name: string]: Schema}} [properties]
 * @property {string[]} [required]
 * @property {Schema} [items]
 * @property {(string | number)[]} [enum]
 * @property {string[]} [knownValues]
 * @property {string | number | boolean} [default]
 * @property {string | number | boolean} [const]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {number} [maxGraphemes]
 * @property {number} [minimum]
 * @property {number} [maximum]
 */

/** @typedef {{id: string, defs: {[name: string]: any}}} Document */

/**
 * The definitions that a method's form needs.
 *
 * @typedef {object} Lexicon
 * @property {any} main The method's definition.
 * @property {Resolve} resolve
 */

/**
 * Finds what a reference is to: the schema, and the document in which its own references are read.
 *
 * @typedef {(schema: Schema, within: string) => {schema: Schema, within: string}} Resolve
 */

/** @type {Map<string, Promise<Document>>} */
const documents = new Map();

/**
 * @param {string} nsid
 * @returns {Promise<Document>}
 */
function loadDocument(nsid) {
  let loading = documents.get(nsid);
  if (!loading) {
    loading = getJson(`/lexicons/${nsid}.json`);
    loading.catch(() => documents.delete(nsid));
    documents.set(nsid, loading);
  }
  return loading;
}

/**
 * Loads a method's lexicon and the documents that it refers to.
 *
 * @param {string} nsid
 * @returns {Promise<Lexicon>}
 */
export async function loadLexicon(nsid) {
  /** @type {{[nsid: string]: Document}} */
  const loaded = {};
  const load = async (/** @type {string} */ name) => {
    if (name in loaded) {
      return;
    }
    loaded[name] = { id: name, defs: {} };
    loaded[name] = await loadDocument(name);
    // One that is missing costs its own fields alone: they are written as JSON.
    await Promise.allSettled(referencesOf(loaded[name]).map(load));
  };
  await load(nsid);
  return { main: loaded[nsid].defs.main, resolve: resolver(loaded) };
}

/**
 * The documents that a document refers to.
 *
 * @param {Document} document
 * @returns {string[]}
 */
export function referencesOf(document) {
  /** @type {Set<string>} */
  const found = new Set();
  const visit = (/** @type {unknown} */ value) => {
    if (value && typeof value === "object") {
      const { type, ref } = /** @type {{type?: unknown, ref?: unknown}} */ (value);
      if (type === "ref" && typeof ref === "string" && !ref.startsWith("#")) {
        found.add(ref.split("#")[0]);
      }
      Object.values(value).forEach(visit);
    }
  };
  visit(document.defs);
  return [...found];
}

/**
 * @param {{[nsid: string]: Document}} loaded
 * @returns {Resolve}
 */
export function resolver(loaded) {
  return (schema, within) => {
    // A chain of references that ends in itself is no schema.
    for (let step = 0; schema.type === "ref" && step < 10; step += 1) {
      const [document, name = "main"] = (schema.ref ?? "").split("#");
      within = document || within;
      const { description } = schema;
      schema = loaded[within]?.defs[name] ?? { type: "unknown" };
      // What is said where it is used tells more than what is said where it is defined.
      schema = description ? { ...schema, description } : schema;
    }
    return { schema, within };
  };
}

/**
 * What a field's schema says of its values, in a line.
 *
 * @param {Schema} schema
 * @returns {string}
 */
export function rulesOf(schema) {
  const { type, format, minimum, maximum, maxGraphemes } = schema;
  const rules = [format ? `${type}, ${format}` : type];
  if (minimum !== undefined && maximum !== undefined) {
    rules.push(`${minimum} to ${maximum}`);
  } else if (minimum !== undefined) {
    rules.push(`at least ${minimum}`);
  } else if (maximum !== undefined) {
    rules.push(`at most ${maximum}`);
  }
  if (maxGraphemes !== undefined) {
    rules.push(`at most ${maxGraphemes} characters`);
  }
  if (schema.default !== undefined) {
    rules.push(`default ${schema.default}`);
  }
  return rules.join("; ");
}
