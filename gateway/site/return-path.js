// Where the person goes back to after having signed in.

/**
 * The path to go to, if it is one of this service's own. Anything else leads to the first page: it may have
 * been put there by somebody else.
 *
 * @param {string | null | undefined} path What was remembered.
 * @param {string} origin Of this service.
 * @returns {string}
 */
export function returnPath(path, origin) {
  if (!path?.startsWith("/")) {
    return "/";
  }
  try {
    const url = new URL(path, origin);
    // A path that begins with two slashes would be read as a host.
    const isOwn = url.origin === new URL(origin).origin && !url.pathname.startsWith("//");
    return isOwn ? url.pathname + url.search + url.hash : "/";
  } catch {
    return "/";
  }
}

/**
 * Where a page that was opened on `localhost` belongs: sessions are kept for 127.0.0.1, to which PDSs send
 * people back.
 *
 * @param {string} href
 * @returns {string | undefined} `undefined`: it is there.
 */
export function loopbackAddress(href) {
  const url = new URL(href);
  if (url.hostname !== "localhost") {
    return undefined;
  }
  url.hostname = "127.0.0.1";
  return url.href;
}
