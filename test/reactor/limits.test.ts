// The table of limits: a mistake is refused with what would be right, the defaults satisfy their own rules, and shares of
// several threads never contradict each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { completeLimits, LIMITS, type Limits, OptionError, shareOf } from "../../src/limits.ts";

const MIB = 1 << 20;
const NAMES = Object.keys(LIMITS) as (keyof Limits)[];

function refusal(given: object): string {
  try {
    completeLimits(given);
  } catch (error) {
    assert.ok(error instanceof OptionError, String(error));
    assert.equal(error.code, "ERR_SLUICE_OPTION");
    return error.message;
  }
  throw new Error(`not refused: ${JSON.stringify(given)}`);
}

test("without any given, the limits are the defaults of the table", () => {
  const expected = Object.fromEntries(NAMES.map((name) => [name, LIMITS[name].default]));
  assert.deepEqual(completeLimits(), expected);
  assert.deepEqual(completeLimits({}), expected);
});

test("a name that does not exist is refused with those that do", () => {
  for (const name of ["conections", "toString", "constructor", "__proto__x"]) {
    const message = refusal({ [name]: 1 });
    assert.ok(message.startsWith(`limits.${name} does not exist`), message);
    for (const known of NAMES) assert.ok(message.includes(known), message);
  }
});

for (const name of NAMES) {
  const { minimum, maximum, unit } = LIMITS[name];
  test(`${name}: ${minimum} to ${maximum} ${unit}, and nothing else`, () => {
    const wrong = [minimum - 1, maximum + 1, minimum + 0.5, Number.NaN, Number.POSITIVE_INFINITY];
    for (const value of [...wrong, String(minimum), null]) {
      const message = refusal({ [name]: value });
      for (const part of [`limits.${name} `, `${minimum}`, `${maximum}`, unit, `not ${value}`]) {
        assert.ok(message.includes(part), `${message} lacks ${part}`);
      }
    }
    for (const value of [minimum, maximum]) {
      const others = companions(name, value);
      assert.equal(completeLimits({ ...others, [name]: value })[name], value);
    }
    assert.ok(minimum >= 1 || name === "lowWaterBytes", "0 would look like unlimited");
  });
}

/** Values of the neighbours in the order, with which `value` does not contradict them. */
function companions(name: keyof Limits, value: number): Partial<Limits> {
  const order: readonly (keyof Limits)[] = [
    "lowWaterBytes",
    "highWaterBytes",
    "connectionOutputBytes",
    "outputBytes",
  ];
  const at = order.indexOf(name);
  if (at < 0) return {};
  const values = order.map((one, index) => {
    const { minimum, maximum } = LIMITS[one];
    if (index < at) return [one, Math.max(minimum, Math.min(value, maximum, 1))];
    return [one, Math.min(Math.max(value, minimum), maximum)];
  });
  return Object.fromEntries(name === "lowWaterBytes" || at > 0 ? values : []);
}

test("the marks of one connection stand in order, and below the whole", () => {
  const pairs: [Partial<Limits>, string, string][] = [
    [{ lowWaterBytes: 2000, highWaterBytes: 1000 }, "lowWaterBytes", "highWaterBytes"],
    [{ highWaterBytes: 9 * MIB }, "highWaterBytes", "connectionOutputBytes"],
    [{ connectionOutputBytes: 512 * MIB }, "connectionOutputBytes", "outputBytes"],
    [{ outputBytes: MIB }, "connectionOutputBytes", "outputBytes"],
  ];
  for (const [given, low, high] of pairs) {
    const message = refusal(given);
    assert.match(
      message,
      new RegExp(`^limits\\.${low} \\(\\d+\\) must not be above limits\\.${high} `),
    );
  }
});

test("a high-water mark alone brings a low-water mark that fits", () => {
  assert.equal(completeLimits({ highWaterBytes: 1000 }).lowWaterBytes, 500);
  assert.equal(completeLimits({ highWaterBytes: 1 }).lowWaterBytes, 0);
  assert.equal(completeLimits({ highWaterBytes: MIB }).lowWaterBytes, LIMITS.lowWaterBytes.default);
  assert.equal(completeLimits({ highWaterBytes: 1000, lowWaterBytes: 900 }).lowWaterBytes, 900);
});

const someLimits = fc
  .record({
    connections: fc.integer({ min: 1, max: 1_000_000 }),
    connectionsPerAddress: fc.integer({ min: 1, max: 10_000 }),
    outputBytes: fc.integer({ min: 8 * MIB, max: 16 * 1024 * MIB }),
    inputBytes: fc.integer({ min: MIB, max: 16 * 1024 * MIB }),
    highWaterBytes: fc.integer({ min: 1, max: 8 * MIB }),
  })
  .map((given) => completeLimits(given));

test("shares add up to the whole, and are as consistent as the whole", () => {
  fc.assert(
    fc.property(someLimits, fc.integer({ min: 1, max: 256 }), (limits, parts) => {
      const share = shareOf(limits, parts);
      assert.ok(share.connections >= 1);
      const connections = share.connections * parts;
      assert.ok(connections <= Math.max(limits.connections, parts), "more are admitted than said");
      assert.ok(connections > limits.connections - parts, "far fewer are admitted than said");
      for (const name of ["connectionsPerAddress", "inputBytes"] as const) {
        assert.ok(share[name] >= 1 && share[name] * parts >= limits[name], name);
        assert.ok((share[name] - 1) * parts < limits[name], `${name} is shared out too freely`);
      }
      assert.equal(share.outputBytes % MIB, 0);
      assert.ok(share.outputBytes >= MIB && share.outputBytes <= 1024 * MIB);
      assert.ok(share.outputBytes === MIB || share.outputBytes * parts <= limits.outputBytes);
      assert.ok(share.connectionOutputBytes <= share.outputBytes);
      for (const name of ["firstByteMs", "idleMs", "writeMs", "lingerMs"] as const) {
        assert.equal(share[name], limits[name]);
      }
    }),
  );
});

test("a share's marks stand below what one of its connections may hold", () => {
  fc.assert(
    fc.property(someLimits, fc.integer({ min: 1, max: 256 }), (limits, parts) => {
      const share = shareOf(limits, parts);
      assert.ok(share.highWaterBytes <= share.connectionOutputBytes, JSON.stringify(share));
      assert.ok(share.lowWaterBytes <= share.highWaterBytes, JSON.stringify(share));
    }),
  );
});
