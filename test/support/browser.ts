// A real browser for tests: Chromium without a window, through playwright-core. Where it is not installed, tests say so.

import { existsSync } from "node:fs";
import type { TestContext } from "node:test";
import { type Browser, chromium } from "playwright-core";

const PROGRAM = "/usr/bin/chromium";

/** Why tests in a browser cannot run; false when they can. In CI they have to. */
export const noBrowser: false | string =
  existsSync(PROGRAM) || process.env.CI === "true" ? false : `there is no ${PROGRAM}`;

export async function browser(t: TestContext): Promise<Browser> {
  const started = await chromium.launch({
    executablePath: PROGRAM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  t.after(() => started.close());
  return started;
}
