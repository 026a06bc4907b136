// The portable driver: the contract over node:net, and what is special about it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { perform } from "./behaviour.ts";
import { driverConformance } from "./conformance.ts";
import type { Peer } from "./host.ts";
import { portableHost } from "./real-hosts.ts";
import { HELLO, type Stage } from "./stage.ts";

const run = promisify(execFile);
const MORE_THAN_PARKED = 2000;

driverConformance(portableHost());

describe("portable driver", () => {
  it("runs, and so does the simulated one, where node:ffi is not there", async () => {
    const modules = ["portable-driver", "simulated-driver", "simulated-peer"];
    const names = modules.map(
      (name) => new URL(`../../src/driver/${name}.ts`, import.meta.url).href,
    );
    const script = `
      await Promise.all(${JSON.stringify(names)}.map((name) => import(name)));
      let ffi = "missing";
      try { await import("node:ffi"); ffi = "there"; } catch {}
      console.log(ffi);`;
    const flags = ["--no-experimental-ffi", "--input-type=module", "-e", script];
    const { stdout } = await run(process.execPath, flags);
    assert.equal(stdout.trim(), "missing");
  });

  it("keeps at most so many connections for a paused listener, and resets the rest", () =>
    perform(portableHost(), parkMany, { slots: 4 }));

  it("is turned by a process that has nothing else to do", () =>
    perform(portableHost(), turnByWanted));
});

async function parkMany(stage: Stage): Promise<void> {
  const { listener, address } = await stage.listen();
  const peers: Peer[] = [];
  const lost = () => peers.filter((peer) => peer.error !== undefined).length;
  while (lost() === 0 && peers.length < MORE_THAN_PARKED) {
    // No more at once than the kernel queues for the listener.
    for (let n = 0; n < 50; n++) peers.push(stage.dial(address));
    await stage.until(() => peers.every((peer) => peer.connected), "an answer for each peer");
    await stage.linger();
    await stage.linger();
    await stage.linger();
  }
  assert.ok(lost() > 0, "all were kept");
  assert.ok(peers.length - lost() >= 1000, `only ${peers.length - lost()} were kept`);
  stage.driver.resume(listener);
  await stage.event("accepted", listener, 4);
}

async function turnByWanted(stage: Stage): Promise<void> {
  const { handle, peer } = await stage.pair();
  stage.driver.wanted = () => setImmediate(() => stage.driver.turn(0));
  stage.driver.turn(0);
  stage.driver.resume(handle);
  peer.write(HELLO);
  const life = stage.log.life(handle);
  const deadline = performance.now() + 10_000;
  while (life.receivedLength < HELLO.length && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(life.receivedLength, HELLO.length);
  stage.driver.wanted = undefined;
}
