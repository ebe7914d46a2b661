import assert from "node:assert/strict";
import { test } from "node:test";

import { durationText, timeText } from "./time.js";

test("a time in the reader's zone", () => {
  const text = (/** @type {string} */ timeZone) =>
    timeText("2026-11-29T23:30:05.123Z", { locale: "en-GB", timeZone });
  assert.equal(text("UTC"), "29 Nov 2026, 23:30:05");
  assert.equal(text("Asia/Tokyo"), "30 Nov 2026, 08:30:05");
});

test("what is no time stays as it is", () => {
  assert.equal(timeText("soon"), "soon");
});

test("durations", () => {
  const cases = {
    0: "0 ms",
    12.4: "12 ms",
    999: "999 ms",
    1000: "1 s",
    1500: "1.5 s",
    59949: "59.9 s",
    59950: "1 min",
    120000: "2 min",
  };
  for (const [milliseconds, text] of Object.entries(cases)) {
    assert.equal(durationText(Number(milliseconds)), text);
  }
});
