// The lab's report in a real browser: every plot drawn, nothing asked of a network, no error, readable on a phone, and the raw
// data where the button says. The pictures stay in the test's folder until it ends; SLUICE_PICTURES=DIRECTORY keeps them.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Page } from "playwright-core";
import { LAB_SCHEMA, type LabResult } from "../../src/lab/lab-result.ts";
import { browser, noBrowser } from "../support/browser.ts";
import { Child } from "../support/child.ts";
import { until } from "../support/until.ts";

/** Servers are started from the sources, on a machine that may do other things too. */
const LONG_MS = 120_000;
const ARGS = [
  ...["lab", "models", "race", "--quick", "--model", "event-loop,multi-reactor"],
  ...["--connections", "1,2,4", "--rounds", "1", "--duration", "200ms", "--warm-up", "20ms"],
];

describe("the lab's report", { skip: noBrowser }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-lab-"));
  const file = join(folder, "lab.html");
  const json = join(folder, "lab.json");

  test("is looked at with a real browser", async (t) => {
    t.after(() => rmSync(folder, { recursive: true }));
    const lab = Child.cli(t, ...ARGS, "--out", file, "--json", json);
    await until(
      () => lab.ended !== undefined,
      () => `the end of the lab: ${lab.story()}`,
      LONG_MS,
    );
    assert.deepEqual(await lab.exit(), { code: 0, signal: null }, lab.story());
    const result: LabResult = JSON.parse(readFileSync(json, "utf8"));
    assert.equal(result.schema, LAB_SCHEMA);
    const chromium = await browser(t);

    for (const [name, colorScheme, width] of [
      ["light", "light", 1280],
      ["dark", "dark", 1280],
      ["phone", "light", 390],
    ] as const) {
      const context = await chromium.newContext({ viewport: { width, height: 800 }, colorScheme });
      const page = await context.newPage();
      const faults = faultsOf(page);
      await page.goto(`file://${file}`);
      await page.waitForSelector("html[data-drawn]");
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
      await everyPlotIsDrawn(page);
      assert.ok(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name);
      const back = await page.evaluate("getComputedStyle(document.body).backgroundColor");
      assert.equal(back, colorScheme === "dark" ? "rgb(13, 17, 23)" : "rgb(255, 255, 255)");
      if (name === "phone") assert.deepEqual(await downloaded(page), result);
      assert.deepEqual(faults, []);
      await context.close();
    }
    const pictures = process.env.SLUICE_PICTURES;
    if (pictures !== undefined) cpSync(folder, pictures, { recursive: true });
  });
});

/** What goes wrong from now on: messages of the console, exceptions, and requests for anything but the file itself. */
function faultsOf(page: Page): string[] {
  const faults: string[] = [];
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(file|blob):/.test(request.url())) faults.push(`request: ${request.url()}`);
  });
  return faults;
}

/** Each view of each card: chosen, and its canvas looked at. */
async function everyPlotIsDrawn(page: Page): Promise<void> {
  const cards = await page.locator("[data-card]").all();
  assert.ok(cards.length >= 10, `${cards.length} cards`);
  for (const [number, card] of cards.entries()) {
    const title = await card.locator("h3").innerText();
    const select = card.locator("select");
    const views = (await select.count()) === 0 ? [null] : await select.locator("option").all();
    for (const index of views.keys()) {
      if (views[index] !== null) await select.selectOption({ index });
      const canvases: string[][] = await page.evaluate(
        `[...document.querySelectorAll("[data-card='${number}'] canvas")].map(${COLORS})`,
      );
      assert.ok(canvases.length > 0, `${title} has no plot`);
      const blank = canvases.filter((colors) => colors.length === 0).length;
      assert.equal(blank, 0, `${title}, view ${index}: ${blank} blank plots`);
      assert.ok((await card.locator("p").count()) > 0, `${title} says nothing`);
    }
  }
}

/** In the page: how many pixels have each of the palette's colors, where any has. */
const COLORS = `(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const style = getComputedStyle(document.documentElement);
  const palette = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => style.getPropertyValue("--c" + n).trim());
  return palette.filter((color) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    let seen = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] > 200) seen++;
    }
    return seen > 20;
  });
}`;

async function downloaded(page: Page): Promise<unknown> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#raw")]);
  return JSON.parse(readFileSync(await download.path(), "utf8"));
}
