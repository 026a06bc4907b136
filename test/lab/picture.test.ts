// A plot as SVG: everything is there, inside, and readable.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readPageParts } from "../../src/lab/report/page-parts.ts";
import { paletteOf, picture } from "../../src/lab/report/picture.ts";
import { PALETTE, type Plot, seriesOf } from "../../src/lab/report/plot.ts";

const palette = paletteOf(readPageParts().style);

function plotOf(names: readonly string[], scale: "linear" | "log"): Plot {
  return {
    x: { label: "connections", unit: "count", scale: "log" },
    y: { label: "messages/s", unit: "rate", scale },
    xs: [1, 10, 50, 200],
    points: true,
    series: names.map((name, n) => seriesOf(name, n, [1000 + n, 20_000, null, 90_000 + n])),
  };
}

test("the palette is the page's, for light and for dark", () => {
  assert.equal(palette.light.length, PALETTE);
  assert.equal(palette.dark.length, PALETTE);
  assert.notDeepEqual(palette.light, palette.dark);
});

for (const scale of ["linear", "log"] as const) {
  test(`every point lies inside, every name stands by itself: ${scale}`, () => {
    const names = Array.from({ length: 11 }, (_, n) => `server ${n} <of "ours" & yours>`);
    const svg = picture("Throughput", plotOf(names, scale), palette);
    const number = (text: string | undefined) => Number(text);
    const circles = [...svg.matchAll(/<circle [^>]*cx="([^"]+)" cy="([^"]+)"/g)];
    assert.equal(circles.length, 3 * names.length, "what is not there is not drawn");
    for (const [, x, y] of circles) {
      assert.ok(number(x) > 76 && number(x) < 650 && number(y) >= 44 && number(y) <= 348);
    }
    const shown = [...svg.matchAll(/<text class="n\d" x="[^"]+" y="([^"]+)">([^<]+)<\/text>/g)];
    assert.equal(shown.length, names.length);
    assert.ok(
      shown.every(([, , name = ""]) => name.includes("&#60;of &#34;ours&#34; &#38; yours")),
    );
    assert.equal(shown.filter(([, , name = ""]) => name.endsWith("(dashed)")).length, 3);
    const heights = shown.map(([, y]) => number(y)).sort((a, b) => a - b);
    heights.forEach((y, n) => {
      assert.ok(n === 0 || y - (heights[n - 1] ?? 0) >= 16.9, `names at ${heights.join(", ")}`);
      assert.ok(y < 400);
    });
  });
}
