// Canaries: drivers with a planted bug, which the conformance must find. A suite that passes them proves nothing.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Driver, DriverEvents, DriverOptions } from "../../src/driver/driver.ts";
import { type Behaviour, perform } from "./behaviour.ts";
import type { Host } from "./host.ts";
import { SimulatedHost } from "./simulated-host.ts";
import { assertSameBytes, HELLO, pattern, type Stage } from "./stage.ts";

/** Changes the events of a driver, or the driver once it is made. */
interface Bug {
  readonly events?: (events: DriverEvents) => Partial<DriverEvents>;
  readonly driver?: (driver: Driver, events: DriverEvents) => Partial<Driver>;
}

const BUGS: Readonly<Record<string, Bug>> = {
  "says `sent` twice": {
    events: (events) => ({
      sent(handle, result) {
        events.sent(handle, result);
        events.sent(handle, result);
      },
    }),
  },
  "says `closed` twice": {
    events: (events) => ({
      closed(handle) {
        events.closed(handle);
        events.closed(handle);
      },
    }),
  },
  "never says `closed`": { events: () => ({ closed() {} }) },
  "tells a send's length wrongly": {
    events: (events) => ({ sent: (handle, result) => events.sent(handle, result - 1) }),
  },
  "loses the last byte of a receive": {
    events: (events) => ({
      received: (handle, result, offset) => {
        if (result !== 1) events.received(handle, result > 1 ? result - 1 : result, offset);
      },
    }),
  },
  "gives received bytes a byte too late in `input`": {
    events: (events) => ({
      received: (handle, result, offset) => events.received(handle, result, offset + 1),
    }),
  },
  "says the end twice": {
    events: (events) => ({
      received(handle, result, offset) {
        events.received(handle, result, offset);
        if (result === 0) events.received(handle, 0, 0);
      },
    }),
  },
  "tells of a send inside the verb": {
    driver: (driver, events) => ({
      send(handle, offset, length) {
        const taken = driver.send(handle, offset, length);
        if (taken === 0) events.sent(handle, length);
        return taken;
      },
    }),
  },
  "reads before it is resumed": {
    events: (events) => ({
      accepted(listener, result) {
        events.accepted(listener, result);
        events.received(result, 1, 0);
      },
    }),
  },
  "takes a second send": {
    driver: (driver) => ({
      send: (handle, offset, length) => Math.max(driver.send(handle, offset, length), 0),
    }),
  },
  "takes a stale handle": {
    driver: (driver) => ({ close: (handle, reset) => Math.max(driver.close(handle, reset), 0) }),
  },
  "reads what it has adopted before it is resumed": {
    driver: (driver) => ({
      adopt(descriptor) {
        const handle = driver.adopt(descriptor);
        if (handle >= 0) driver.resume(handle);
        return handle;
      },
    }),
  },
  "says `closed` of what it has detached": {
    events: (events) => ({
      detached(handle, descriptor) {
        events.detached(handle, descriptor);
        events.closed(handle);
      },
    }),
  },
  "sends other bytes than it was given": {
    driver: (driver) => ({
      send: (handle, offset, length) => driver.send(handle, offset + 1, length),
    }),
  },
};

describe("conformance finds planted bugs", () => {
  it("and passes the driver without one", () => perform(hostWith({}), scene));

  for (const [name, bug] of Object.entries(BUGS)) {
    it(`a driver that ${name}`, async () => {
      await assert.rejects(perform(hostWith(bug), scene));
    });
  }
});

/** Something of everything; each of its parts is a behaviour too. */
const scene: Behaviour = async (stage: Stage) => {
  const { handle, peer } = await stage.pair();
  stage.driver.resume(handle);
  const bytes = pattern(50_000);
  peer.write(bytes);
  assertSameBytes(await stage.receives(handle, bytes.length), bytes);
  assert.equal(stage.send(handle, HELLO), 0);
  assert.ok(stage.send(handle, HELLO) < 0);
  await stage.event("sent", handle);
  await stage.sendAll(handle, bytes);
  assertSameBytes(
    await stage.peerReceives(peer, HELLO.length + bytes.length),
    Buffer.concat([HELLO, bytes]),
  );
  assert.equal(stage.driver.detach(handle), 0);
  const descriptor = await stage.event("detached", handle);
  peer.write(HELLO);
  peer.end();
  const adopted = stage.mustTake(stage.driver.adopt(descriptor));
  await stage.linger();
  stage.driver.resume(adopted);
  await stage.until(() => stage.log.life(adopted).ended, "the end");
  assertSameBytes(stage.bytesOf(adopted), HELLO);
  await stage.linger();
  await stage.close(adopted);
  assert.ok(stage.driver.inner.close(adopted, false) < 0);
};

function hostWith(bug: Bug): Host {
  const host = new SimulatedHost("simulated", 1);
  const make = host.make.bind(host);
  host.make = (options: DriverOptions) => {
    const events = { ...bound(options.events), ...bug.events?.(options.events) };
    const driver = make({ ...options, events });
    const changes = bug.driver?.(driver, options.events) ?? {};
    return new Proxy(driver, {
      get(target, name) {
        const changed: unknown = Reflect.get(changes, name);
        if (changed !== undefined) return changed;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  host.leftovers = () => [];
  return host;
}

function bound(events: DriverEvents): DriverEvents {
  return {
    listening: events.listening.bind(events),
    accepted: events.accepted.bind(events),
    connected: events.connected.bind(events),
    received: events.received.bind(events),
    sent: events.sent.bind(events),
    closed: events.closed.bind(events),
    detached: events.detached.bind(events),
  };
}
