// A form that calls one method, on the method's page.

import { loadConfig } from "./config.js";
import { copyButton } from "./copy.js";
import { announce, button, fill, focusOn, h, uniqueId, whileBusy } from "./dom.js";
import { keepDraft, withoutSecrets } from "./drafts.js";
import { Form } from "./form.js";
import { loadLexicon } from "./lexicon.js";
import { PastedToken, account } from "./session.js";
import { canSignIn, openSignIn } from "./sign-in.js";
import { durationText } from "./time.js";
import { same } from "./values.js";
import { XrpcError, outputOf, requestOf, send, sendAs } from "./xrpc.js";

/** Headers of an answer that are worth showing. */
const SHOWN_HEADERS = [
  ...["content-type", "x-request-id", "retry-after", "www-authenticate"],
  ...["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"],
];

/** @typedef {{[key: string]: import("./values.js").Json}} Value */

/**
 * Fills the section of a method.
 *
 * @param {HTMLElement} section Has `data-nsid` and `data-type`.
 */
export async function showTryIt(section) {
  const nsid = section.dataset.nsid ?? "";
  const type = section.dataset.type === "query" ? "query" : "procedure";
  const heading = h("h2", { id: uniqueId("heading") }, "Try it");
  section.setAttribute("aria-labelledby", heading.id);
  try {
    const [config, lexicon] = await Promise.all([loadConfig(), loadLexicon(nsid)]);
    const schema = (type === "query" ? lexicon.main.parameters : lexicon.main.input?.schema) ?? {
      type: "object",
    };
    const { schema: resolved, within } = lexicon.resolve(schema, nsid);
    const form = new Form(resolved, { resolve: lexicon.resolve, within });
    const tryIt = new TryIt(nsid, type, config, form);
    fill(section, heading, tryIt.element);
    keepDraft(nsid, tryIt);
  } catch (error) {
    fill(section, heading, h("p", { class: "error", role: "alert" }, /** @type {Error} */ (error).message));
  }
}

class TryIt {
  #nsid;
  #type;
  #form;
  #who;
  #json = h("textarea", { class: "code", rows: 10, spellcheck: "false", "aria-label": "The input as JSON" });
  #asJson = false;
  #switch = button("Edit as JSON", () => this.#toggle());
  #fields = h("div");
  #answer = h("div", { class: "answer" });
  /** Counts calls: the answer to one that was forgotten is not shown. */
  #calls = 0;

  /**
   * @param {string} nsid
   * @param {"query" | "procedure"} type
   * @param {import("./config.js").Config} config
   * @param {Form} form
   */
  constructor(nsid, type, config, form) {
    this.#nsid = nsid;
    this.#type = type;
    this.#form = form;
    this.#who = new Who(nsid, config);
    const call = h("button", { type: "submit", class: "primary" }, "Call");
    const hasFields = form.names.length > 0;
    fill(this.#fields, hasFields ? form.element : h("p", {}, "This method takes nothing."));
    this.element = h(
      "div",
      {},
      h(
        "form",
        {
          on: {
            submit: (event) => {
              event.preventDefault();
              void whileBusy(this.element, () => this.#call(), call);
            },
          },
        },
        this.#who.element,
        this.#fields,
        h("div", { class: "actions" }, call, type === "procedure" && hasFields && this.#switch),
      ),
      this.#answer,
    );
    this.element.querySelector("form")?.setAttribute("novalidate", "");
    // An answer may have a token in it. It is nobody else's, and no page that one comes back to shows it.
    account.addEventListener("leave", () => this.#forget());
    addEventListener("pagehide", () => this.#forget());
  }

  #forget() {
    this.#calls += 1;
    fill(this.#answer);
    this.#who.forget();
    this.value = /** @type {Value} */ (withoutSecrets(this.value));
  }

  /** What was written, as a draft: the text where JSON is edited. */
  get value() {
    if (!this.#asJson) {
      return { fields: this.#form.value };
    }
    try {
      // As an object it is known what in it is secret.
      const value = JSON.parse(this.#json.value);
      const open = withoutSecrets(value);
      return { json: same(value, open) ? this.#json.value : JSON.stringify(open, null, 2) };
    } catch {
      return { json: /token|secret|password/i.test(this.#json.value) ? "" : this.#json.value };
    }
  }

  set value(/** @type {Value} */ draft) {
    if (typeof draft.json === "string") {
      this.#showJson(draft.json);
    } else {
      this.#form.value = /** @type {Value} */ (draft.fields);
    }
  }

  #toggle() {
    if (!this.#asJson) {
      this.#showJson(JSON.stringify(this.#form.value, null, 2));
      this.#json.focus();
      return;
    }
    const value = this.#parsed();
    if (!value) {
      return;
    }
    this.#form.value = value;
    const held = this.#form.value;
    const lost = Object.keys(value).filter((name) => typeof held[name] !== typeof value[name]);
    if (lost.length > 0) {
      this.#showProblem(`No field can hold this value of ${lost.join(", ")}.`);
      return;
    }
    this.#asJson = false;
    this.#switch.textContent = "Edit as JSON";
    fill(this.#fields, this.#form.element);
    this.#form.focus();
  }

  /** @param {string} text */
  #showJson(text) {
    this.#asJson = true;
    this.#switch.textContent = "Edit in fields";
    this.#json.value = text;
    fill(this.#fields, this.#json);
  }

  /** @returns {Value | undefined} */
  #parsed() {
    try {
      const value = JSON.parse(this.#json.value);
      if (value && typeof value === "object" && !Array.isArray(value)) {
        return value;
      }
      this.#showProblem("The input must be a JSON object.");
    } catch (error) {
      this.#showProblem(`This is not JSON: ${/** @type {Error} */ (error).message}`);
    }
    return undefined;
  }

  /** @returns {Value | undefined} */
  #input() {
    if (this.#asJson) {
      return this.#parsed();
    }
    return this.#form.check() ? this.#form.value : undefined;
  }

  async #call() {
    const value = this.#input();
    if (!value) {
      return;
    }
    const hasInput = this.#type === "procedure" && this.#form.names.length > 0;
    const call = {
      nsid: this.#nsid,
      type: this.#type,
      params: this.#type === "query" ? value : undefined,
      input: hasInput ? value : undefined,
    };
    this.#calls += 1;
    const mine = this.#calls;
    try {
      const pasted = this.#who.pasted;
      const answer = pasted
        ? await send({ ...call, token: await pasted.tokenFor() })
        : await sendAs(account, call);
      if (mine === this.#calls) {
        this.#show(call, answer);
      }
    } catch (error) {
      if (mine === this.#calls) {
        this.#showProblem(/** @type {Error} */ (error).message);
      }
    }
  }

  /** @param {string} text */
  #showProblem(text) {
    fill(this.#answer, h("p", { class: "error", role: "alert" }, text));
  }

  /**
   * @param {import("./xrpc.js").Call} call
   * @param {import("./xrpc.js").Answer} answer
   */
  #show(call, answer) {
    const { path, init } = requestOf(call);
    const { text, error } = this.#read(answer);
    const good = error === undefined;
    const title = h(
      "h3",
      {},
      "Answer ",
      h("span", { class: good ? "badge good" : "badge bad" }, answer.status),
      " ",
      h("span", { class: "type" }, durationText(answer.milliseconds)),
    );
    const headers = SHOWN_HEADERS.filter((name) => answer.headers.has(name));
    fill(
      this.#answer,
      title,
      error && h("p", { class: "error" }, h("strong", {}, error.error), `: ${error.message}`),
      text === ""
        ? h("p", {}, "The body is empty.")
        : [
            h("pre", { tabindex: 0 }, h("code", { class: "answer-body" }, text)),
            copyButton(text, "Copy the answer"),
          ],
      h(
        "details",
        {},
        h("summary", {}, "Request and headers"),
        h("pre", { tabindex: 0 }, h("code", {}, requestText(init.method, path, init.body))),
        h(
          "pre",
          { tabindex: 0 },
          h("code", {}, headers.map((name) => `${name}: ${answer.headers.get(name)}`).join("\n")),
        ),
      ),
    );
    announce(
      good ? `Answered ${answer.status}.` : `Answered ${answer.status}, ${error.error}: ${error.message}`,
    );
    if (error && error.status === 400 && !this.#asJson) {
      this.#form.clearErrors();
      this.#form.showError(error.message);
    } else {
      this.#form.clearErrors();
      focusOn(title);
    }
  }

  /**
   * @param {import("./xrpc.js").Answer} answer
   * @returns {{text: string, error?: XrpcError}}
   */
  #read(answer) {
    try {
      const output = outputOf(answer);
      return { text: output === undefined ? answer.text : JSON.stringify(output, null, 2) };
    } catch (error) {
      return { text: pretty(answer.text), error: /** @type {XrpcError} */ (error) };
    }
  }
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {string} [body]
 */
function requestText(method, path, body) {
  return [
    `${method} ${path}`,
    "Authorization: Bearer …",
    body && `Content-Type: application/json\n\n${pretty(body)}`,
  ]
    .filter(Boolean)
    .join("\n");
}

/** Who calls: the account that is signed in, or whoever a pasted token is of. */
class Who {
  element = h("div", { class: "who-calls" });
  #input = h("input", {
    id: uniqueId("token"),
    name: "token",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
  });
  #about = h("p", { class: "count", id: `${this.#input.id}-about`, "aria-live": "polite" });
  #paste = false;
  #nsid;
  #config;

  /**
   * @param {string} nsid
   * @param {import("./config.js").Config} config
   */
  constructor(nsid, config) {
    this.#nsid = nsid;
    this.#config = config;
    this.#input.setAttribute("aria-describedby", `${this.#input.id}-hint ${this.#about.id}`);
    this.#input.addEventListener("input", () => this.#describe());
    account.addEventListener("change", () => this.#show());
    this.#show();
  }

  /** The token that is to be used, if one is pasted rather than made. */
  get pasted() {
    return account.way && !this.#paste ? undefined : new PastedToken(this.#input.value);
  }

  /** Takes away the token that is pasted. */
  forget() {
    this.#input.value = "";
    this.#describe();
  }

  #describe() {
    this.#about.textContent = new PastedToken(this.#input.value).describe(this.#nsid);
  }

  #show() {
    const { way } = account;
    if (way && !this.#paste) {
      fill(
        this.element,
        h(
          "p",
          {},
          "You call as ",
          h("strong", { title: way.did }, h("bdi", {}, way.name)),
          ". A token is made for each call.",
        ),
        button("Paste a token instead", () => this.#choose(true)),
      );
      return;
    }
    const audience = h("code", {}, this.#config.audience);
    fill(
      this.element,
      h("label", { for: this.#input.id }, "Service token"),
      h(
        "p",
        { class: "hint", id: `${this.#input.id}-hint` },
        "From com.atproto.server.getServiceAuth, with aud ",
        audience,
        " and lxm ",
        h("code", {}, this.#nsid),
        ". It is sent to this service and kept nowhere.",
      ),
      this.#input,
      this.#about,
      way
        ? button("Use the account that is signed in", () => this.#choose(false))
        : canSignIn(this.#config) && button("Sign in instead", () => openSignIn(this.#config)),
    );
  }

  /** @param {boolean} paste */
  #choose(paste) {
    this.#paste = paste;
    this.#show();
    this.element.querySelector(paste ? "input" : "button")?.focus();
  }
}
