// The simulated driver: the contract, in calm and when all is late and in pieces; then what is special about it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Random } from "../../src/driver/random.ts";
import { SimulatedDriver } from "../../src/driver/simulated-driver.ts";
import {
  FAULT_NAMES,
  HARMLESS_FAULTS,
  noOccurrences,
  OCCURRENCES,
} from "../../src/driver/simulated-faults.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import { dial } from "../../src/driver/simulated-peer.ts";
import { ECONNRESET, EMFILE, EPIPE, ETIMEDOUT } from "../../src/sys/errno.ts";
import { driverConformance } from "./conformance.ts";
import { WatchedDriver } from "./event-log.ts";
import { SimulatedHost } from "./simulated-host.ts";
import { type Outcome, simulate } from "./simulation.ts";
import { LOOPBACK, listening, MEBIBYTE } from "./stage.ts";

/** More for a long run: `SLUICE_SEEDS=200000 node --test test/driver/simulated.test.ts`. */
const SEEDS = Number(process.env.SLUICE_SEEDS ?? 500);
const FIRST_SEED = Number(process.env.SLUICE_FIRST_SEED ?? 1);

driverConformance(new SimulatedHost("simulated", 1));
for (const seed of [2, 3, 4]) {
  const title = `simulated, everything late and in pieces, seed ${seed}`;
  driverConformance(new SimulatedHost(title, seed, HARMLESS_FAULTS));
}

describe("simulated driver: the same seed, the same run", () => {
  it("gives the same trace for the same seed, to the last event", () => {
    for (const seed of [1, 17, 4711]) {
      const [one, other] = [simulate({ seed }), simulate({ seed })];
      assert.ok(one.trace.length > 10);
      assert.deepEqual(other.trace, one.trace);
      assert.deepEqual(other.occurred, one.occurred);
    }
  });

  it("gives different traces for different seeds", () => {
    const traces = [1, 2, 3, 4, 5].map((seed) => simulate({ seed }).trace.join("\n"));
    assert.equal(new Set(traces).size, traces.length);
  });
});

describe("simulated driver: echo servers under faults", () => {
  const total = noOccurrences();
  const sums = { bytes: 0, operations: 0, starvation: 0, complete: 0 };

  it(`keeps the contract, every byte and every count over ${SEEDS} seeds`, () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const outcome = simulateSeed(seed);
      for (const name of OCCURRENCES) total[name] += outcome.occurred[name];
      sums.bytes += outcome.bytes;
      sums.operations += outcome.operations;
      sums.starvation += outcome.starvation;
      sums.complete += outcome.complete;
    }
    assert.ok(sums.complete > SEEDS, "most clients got their whole echo");
  });

  it("really had each kind of fault", (test) => {
    for (const name of OCCURRENCES) assert.ok(total[name] > 0, `${name} never happened`);
    assert.equal(sums.starvation, total.starvation);
    const shown = FAULT_NAMES.map((name) => `${name} ${total[name]}`).join(", ");
    test.diagnostic(`${sums.operations} operations, ${sums.bytes} bytes echoed; ${shown}`);
  });

  it("echoes everything when nothing goes wrong", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { occurred } = simulate({ seed, calm: true });
      for (const name of FAULT_NAMES) assert.equal(occurred[name], 0, name);
    }
  });

  it("survives the failure of each single operation, and of all from one on", () => {
    const seed = 3;
    const { operations } = simulate({ seed, calm: true });
    const errnos = [ECONNRESET, ETIMEDOUT, EMFILE, EPIPE];
    const step = Math.max(1, Math.floor(operations / 100));
    for (let nth = 0; nth < operations; nth += step) {
      const errno = errnos[(nth / step) % errnos.length] as number;
      simulate({ seed, calm: true, failure: (_, index) => (index === nth ? errno : 0) });
    }
    for (let nth = 0; nth < operations; nth += step * 5) {
      simulate({ seed, calm: true, failure: (_, index) => (index >= nth ? EMFILE : 0) });
    }
  });
});

describe("simulated driver: strict where others forgive", () => {
  it("tells who changes the bytes of a send under way", () => {
    const { driver, handle } = connected();
    driver.output.fill(1, 0, 100);
    assert.equal(driver.send(handle, 0, 100), 0);
    driver.output[50] = 2;
    assert.throws(() => turnMany(driver), /output changed/);
  });

  it("overwrites received bytes after the event", () => {
    const { driver, handle, peer } = connected();
    driver.resume(handle);
    peer.write(Buffer.from("secret"));
    turnMany(driver);
    assert.equal(driver.log.life(handle).receivedLength, 6);
    assert.equal(driver.input.indexOf("secret"), -1);
  });

  it("never blocks: a wait for ever with nothing to come returns", () => {
    const network = new SimulatedNetwork({ random: new Random(1) });
    const driver = watched(network);
    assert.equal(driver.turn(-1), 0);
    assert.equal(driver.now(), 0);
  });

  it("passes exactly the time of a wait that ends without an event", () => {
    const network = new SimulatedNetwork({ random: new Random(1) });
    const driver = watched(network);
    assert.equal(driver.turn(3_600_000), 0);
    assert.equal(driver.now(), 3_600_000);
  });
});

/** A seed that fails is named, so that it can be run alone. */
function simulateSeed(seed: number): Outcome {
  try {
    return simulate({ seed });
  } catch (error) {
    throw new Error(`seed ${seed} (SLUICE_FIRST_SEED=${seed} SLUICE_SEEDS=1)`, { cause: error });
  }
}

function watched(network: SimulatedNetwork): WatchedDriver {
  return new WatchedDriver((options) => new SimulatedDriver(options, network), {
    slots: 8,
    outputBytes: MEBIBYTE,
  });
}

/** A driver with one accepted connection, and its peer. */
function connected() {
  const network = new SimulatedNetwork({ random: new Random(7) });
  const driver = watched(network);
  const listener = driver.listen(listening(LOOPBACK));
  driver.turn(10);
  driver.resume(listener);
  const address = driver.localAddress(listener);
  assert.ok(typeof address === "object");
  const peer = dial(network, address);
  turnMany(driver);
  const handle = driver.log.last("accepted", listener)?.result ?? -1;
  assert.ok(handle >= 0);
  return { driver, handle, peer };
}

function turnMany(driver: WatchedDriver): void {
  for (let n = 0; n < 20; n++) driver.turn(10);
}
