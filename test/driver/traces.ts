// Scenes of a connection's life, each played on a driver and written down as the sequence of events of each handle:
// what a reactor would see. How a stream is cut into `received` events is not part of it; everything else is.

import assert from "node:assert/strict";
import { describeEvent, type EventLog, type LoggedEvent } from "./event-log.ts";
import type { Host } from "./host.ts";
import { LOOPBACK, listening, pattern, Stage, type StageOptions } from "./stage.ts";

interface Scene extends StageOptions {
  readonly play: (stage: Stage) => Promise<void>;
}

const HELLO = Buffer.from("hello");

export const SCENES: Readonly<Record<string, Scene>> = {
  "echo, and the peer ends": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      const bytes = pattern(100_000);
      peer.write(bytes);
      await stage.sendAll(handle, await stage.receives(handle, bytes.length));
      await stage.peerReceives(peer, bytes.length);
      peer.end();
      await stage.until(() => stage.log.life(handle).ended, "the end");
      await stage.close(handle);
    },
  },
  "the peer resets while it is read from": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      peer.write(HELLO);
      await stage.receives(handle, 5);
      peer.reset();
      await stage.until(() => stage.log.life(handle).ended, "the reset");
      await stage.close(handle);
    },
  },
  "the peer resets a paused connection": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      peer.reset();
      await stage.linger();
      stage.driver.resume(handle);
      await stage.until(() => stage.log.life(handle).ended, "the reset");
      await stage.close(handle);
    },
  },
  "the peer resets a paused connection with unread bytes": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      peer.write(HELLO);
      await stage.linger();
      peer.reset();
      await stage.linger();
      stage.driver.resume(handle);
      await stage.until(() => stage.log.life(handle).ended, "the reset");
      await stage.close(handle);
    },
  },
  "a send to a peer that has reset, then reading": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      peer.reset();
      await stage.linger();
      stage.send(handle, HELLO);
      await stage.event("sent", handle);
      stage.driver.resume(handle);
      await stage.until(() => stage.log.life(handle).ended, "the end");
      await stage.close(handle);
    },
  },
  "sends to a peer that has closed, while reading": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      peer.close();
      await stage.until(() => stage.log.life(handle).ended, "the end");
      for (let n = 1; n <= 2; n++) {
        stage.send(handle, HELLO);
        await stage.event("sent", handle, n);
        await stage.linger();
      }
      await stage.close(handle);
    },
  },
  "half-closed by the peer, answered, closed": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      peer.write(HELLO);
      peer.end();
      await stage.until(() => stage.log.life(handle).ended, "the end");
      await stage.sendAll(handle, HELLO);
      stage.driver.shutdown(handle);
      await stage.until(() => peer.ended, "the peer's end");
      await stage.close(handle);
    },
  },
  "half-closed by us, then a send": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      stage.driver.shutdown(handle);
      await stage.until(() => peer.ended, "the peer's end");
      peer.write(HELLO);
      await stage.receives(handle, 5);
      stage.send(handle, HELLO);
      await stage.event("sent", handle);
      await stage.close(handle);
    },
  },
  "closed while a send cannot go on": {
    async play(stage) {
      const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
      peer.pause();
      stage.send(handle, pattern(2_000_000));
      await stage.linger();
      await stage.close(handle);
    },
  },
  "the peer resets while a send cannot go on": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      peer.pause();
      await stage.fill(handle);
      stage.log.events.length = 0;
      peer.reset();
      await stage.event("sent", handle);
      await stage.close(handle);
    },
  },
  "connecting, refused and taken": {
    async play(stage) {
      stage.driver.connect(await stage.host.silentAddress(), {});
      await stage.until(() => stage.log.count("connected") === 1, "the refusal");
      const { handle, peer } = await stage.connect();
      stage.driver.resume(handle);
      await stage.sendAll(handle, HELLO);
      peer.write(HELLO);
      await stage.receives(handle, 5);
      peer.end();
      await stage.until(() => stage.log.life(handle).ended, "the end");
      await stage.close(handle);
    },
  },
  "closed before it was connected or listening": {
    async play(stage) {
      const server = await stage.serve();
      const handle = stage.driver.connect(server.address, {});
      const listener = stage.driver.listen(listening(LOOPBACK));
      stage.driver.close(handle, false);
      stage.driver.close(listener, false);
      await stage.until(() => stage.log.count("closed") === 2, "closed of both");
      await stage.linger();
    },
  },
  "an address in use": {
    async play(stage) {
      const { address } = await stage.listen();
      await stage.event("listening", stage.driver.listen(listening(address)));
    },
  },
  "no free slot, then one": {
    slots: 2,
    async play(stage) {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const { handle } = await stage.accept(listener, address);
      stage.dial(address);
      await stage.event("accepted", listener, 2);
      await stage.close(handle);
      stage.driver.resume(listener);
      await stage.event("accepted", listener, 3);
    },
  },
  "closed from inside its first bytes": {
    async play(stage) {
      const { handle, peer } = await stage.pair();
      stage.log.react = (event) => {
        if (event.kind === "received") stage.driver.close(event.handle, true);
      };
      stage.driver.resume(handle);
      peer.write(HELLO);
      await stage.event("closed", handle);
    },
  },
};

/** Plays one scene: the events of each handle in the order in which the handles appeared. */
export async function traceOf(host: Host, scene: Scene): Promise<string[]> {
  const stage = new Stage(host, scene);
  try {
    await scene.play(stage);
    const trace = normalised(stage.log);
    await stage.finish();
    return trace;
  } catch (error) {
    stage.abandon();
    throw error;
  }
}

function normalised(log: EventLog): string[] {
  const byHandle = Map.groupBy(log.events, (event) => event.handle);
  assert.ok(byHandle.size > 0);
  return [...byHandle.values()].map((events) => merged(events).map(describeEvent).join(", "));
}

/** Consecutive receives as one. */
function merged(events: readonly LoggedEvent[]): LoggedEvent[] {
  const merged: LoggedEvent[] = [];
  for (const event of events) {
    const last = merged.at(-1);
    if (event.kind === "received" && event.result > 0 && last?.kind === "received") {
      merged[merged.length - 1] = { ...last, result: last.result + event.result };
    } else {
      merged.push(event);
    }
  }
  return merged;
}
