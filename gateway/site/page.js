// What every page does: who is signed in, and what is to be tried on it.

import { whileBusy } from "./dom.js";
import { showAccount, showNotice } from "./sign-in.js";
import { account } from "./session.js";

const tell = () => {
  if (account.notice) {
    showNotice(account.notice);
    account.notice = "";
  }
};

try {
  await whileBusy(document.getElementById("main") ?? document.body, () => account.start());
  account.addEventListener("notice", tell);
  tell();
  const place = document.getElementById("account");
  if (place) {
    await showAccount(place);
  }
} catch (error) {
  showNotice(/** @type {Error} */ (error).message);
}

const tryIt = document.getElementById("try-it");
if (tryIt) {
  const { showTryIt } = await import("./try-it.js");
  await showTryIt(tryIt);
}
