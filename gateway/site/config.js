// What the service tells its pages about itself.

import { getJson } from "./xrpc.js";

/**
 * @typedef {object} Oauth How to sign in at a PDS.
 * @property {string} clientId
 * @property {string} redirectUri
 * @property {string} scope
 * @property {boolean} loopback Whether this service is on the reader's own machine.
 */

/**
 * @typedef {object} Config
 * @property {string} version
 * @property {{did: string, ids: string[], url: string}} service
 * @property {string} audience Whom service tokens are for.
 * @property {string} plcUrl Without a slash at its end.
 * @property {Oauth | null} oauth `null`: nobody can sign in by OAuth here.
 * @property {boolean} development Whether `athook dev` serves this.
 * @property {boolean} console
 * @property {{nsid: string, type: "query" | "procedure"}[]} methods
 */

/** @type {Promise<Config> | undefined} */
let loading;

/**
 * Loads the configuration, once for a page. After a failure the next call tries again.
 *
 * @returns {Promise<Config>}
 */
export function loadConfig() {
  loading ??= getJson("/site/config.json", { cache: "no-store" }).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}
