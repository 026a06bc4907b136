// Who gets a connection, reactor by reactor over drivers that only write down: the choice, and that a descriptor is in one
// place at a time, whatever is full or closed in between.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DescriptorQueue } from "../../src/driver/descriptor-queue.ts";
import { CONNECTIONS, COUNTER_STRIDE } from "../../src/reactor/counters.ts";
import {
  type Balance,
  Placement,
  type PlacementMemory,
  placementWords,
  Seats,
} from "../../src/reactor/placement.ts";
import { EMFILE } from "../../src/sys/errno.ts";
import { closeDescriptor, drainEventfd, openEventfd } from "../../src/sys/socket-calls.ts";
import { DRIVERS } from "../support/drivers.ts";
import { RecordingDriver } from "./recording-driver.ts";

const skip = DRIVERS.find(({ name }) => name === "epoll")?.skip ?? false;
/** A descriptor that no test can have: those here are never opened. */
const DESCRIPTOR = 4_000_000;

/** Hands out a new handle for each descriptor, as long as there are slots. */
class AdoptingDriver extends RecordingDriver {
  slots = 100;
  readonly adopted: number[] = [];

  override adopt = (descriptor: number): number => {
    if (this.adopted.length >= this.slots) return -EMFILE;
    this.adopted.push(descriptor);
    return 1000 + this.adopted.length;
  };
  override detach = (): number => 0;
}

class Reactors {
  readonly memory: PlacementMemory;
  readonly seats: Seats;
  readonly drivers: readonly AdoptingDriver[];
  readonly placements: readonly Placement[];
  readonly wakes: readonly number[];

  constructor(balance: Balance, count: number, { most = 1000, inbox = 64 } = {}) {
    this.memory = {
      balance,
      counters: new Float64Array(count * COUNTER_STRIDE),
      words: new Int32Array(new SharedArrayBuffer(placementWords(count) * 4)),
      inboxes: Array.from({ length: count }, () => DescriptorQueue.allocate(inbox).table),
      most,
    };
    this.seats = new Seats(this.memory);
    this.wakes = Array.from({ length: count }, () => openEventfd());
    this.drivers = this.wakes.map(() => new AdoptingDriver());
    this.placements = this.drivers.map(
      (driver, seat) => new Placement({ memory: this.memory, seat }, driver),
    );
    for (const [seat, placement] of this.placements.entries()) {
      this.seats.setWake(seat, this.wakes[seat] as number);
      placement.open();
    }
  }

  /** One connection accepted on a seat: where it ends up, when it leaves at once. */
  accept(seat: number, handle: number, descriptor = DESCRIPTOR + handle): number {
    const placement = this.placements[seat] as Placement;
    if (!placement.sendsAway(handle)) return seat;
    const came: number[] = [];
    placement.detached(handle, descriptor, (back) => came.push(back));
    if (came.length > 0) return seat;
    return this.seats.inboxes.findIndex((_, other) => this.#has(other, descriptor));
  }

  setConnections(...connections: number[]): void {
    for (const [seat, count] of connections.entries()) {
      this.memory.counters[seat * COUNTER_STRIDE + CONNECTIONS] = count;
    }
  }

  /** Takes in what waits for a seat: how many. */
  receive(seat: number): number {
    const handles: number[] = [];
    this.placements[seat]?.receive((handle) => handles.push(handle));
    return handles.length;
  }

  #has(seat: number, descriptor: number): boolean {
    const table = this.memory.inboxes[seat] as Int32Array;
    return table.some((cell, at) => at >= 32 && (cell & 0x3fffff) === descriptor);
  }

  [Symbol.dispose](): void {
    for (const wake of this.wakes) closeDescriptor(wake);
  }
}

test("least connections: who is fuller than the emptiest hands over, who is not keeps", {
  skip,
}, () => {
  using reactors = new Reactors("least-connections", 3);
  reactors.setConnections(5, 5, 5);
  assert.equal(reactors.accept(1, 1), 1, "all are equal");
  reactors.setConnections(6, 5, 5);
  assert.equal(reactors.accept(0, 2), 0, "one more is not worth it");
  reactors.setConnections(7, 6, 5);
  assert.equal(reactors.accept(0, 3), 2, "two more is");
  assert.equal(drainEventfd(reactors.wakes[2] as number), 8, "and it is woken");
  reactors.setConnections(160, 150, 200);
  assert.equal(reactors.accept(0, 4), 0, "within the slack of a sixteenth");
  assert.equal(reactors.accept(2, 5), 1);
});

test("what is on its way counts: a burst does not all go to who was the emptiest", { skip }, () => {
  using reactors = new Reactors("least-connections", 3);
  reactors.setConnections(30, 0, 0);
  const placement = reactors.placements[0] as Placement;
  // None is detached yet, and then none is taken out of its inbox yet.
  for (let handle = 0; handle < 20; handle++) assert.ok(placement.sendsAway(handle));
  for (let handle = 0; handle < 20; handle++) {
    placement.detached(handle, DESCRIPTOR + handle, () => assert.fail("it could be handed over"));
  }
  assert.deepEqual([reactors.seats.load(1), reactors.seats.load(2)], [10, 10]);
});

test("round-robin: each in turn, over all who accept", { skip }, () => {
  using reactors = new Reactors("round-robin", 3);
  const got = [0, 0, 0];
  for (let n = 0; n < 30; n++) {
    const seat = reactors.accept(n % 2, n);
    got[seat] = (got[seat] as number) + 1;
  }
  assert.deepEqual(got, [10, 10, 10]);
});

test("address-hash: all of one address to one reactor, many addresses to all", { skip }, () => {
  using reactors = new Reactors("address-hash", 4, { most: 10_000, inbox: 1024 });
  const got = [0, 0, 0, 0];
  for (let n = 0; n < 400; n++) {
    const host = `192.0.2.${n % 200}`;
    for (const driver of reactors.drivers) {
      driver.addresses.set(n, { family: "ipv4", host, port: n });
    }
    const [first, second] = [reactors.accept(n % 4, n), reactors.accept((n + 1) % 4, n)];
    assert.equal(first, second, host);
    got[first] = (got[first] as number) + 1;
  }
  assert.ok(Math.min(...got) > 50, `${got}`);
  assert.equal(reactors.accept(2, 5000), 2, "who has no address stays");
});

test("address-hash: who counts as one for the limits has one reactor, whichever address is used", {
  skip,
}, () => {
  using reactors = new Reactors("address-hash", 4, { most: 10_000, inbox: 1024 });
  const seats = new Set<number>();
  for (let n = 0; n < 40; n++) {
    const host = `2001:db8:0:7:${(n * 977).toString(16)}::1`;
    for (const driver of reactors.drivers) {
      driver.addresses.set(n, { family: "ipv6", host, port: n });
    }
    seats.add(reactors.accept(n % 4, n));
  }
  assert.equal(seats.size, 1, "40 addresses of one IPv6 network");
});

test("a reactor that is closed or full gets none, and what it is handed too late goes on", {
  skip,
}, () => {
  using reactors = new Reactors("round-robin", 3, { most: 10 });
  reactors.setConnections(0, 0, 10);
  const first = reactors.placements[1] as Placement;
  first.close();
  for (let handle = 0; handle < 9; handle++) assert.equal(reactors.accept(0, handle), 0);
  first.open();
  assert.equal(reactors.accept(2, 20), 0);
  assert.equal(reactors.accept(2, 21), 1);
  first.close();
  reactors.setConnections(0, 0, 0);
  assert.equal(reactors.receive(1), 0, "it hands on");
  assert.equal(reactors.seats.load(0) + reactors.seats.load(2), 2);
  for (const placement of reactors.placements) placement.close();
  assert.equal(reactors.receive(0) + reactors.receive(2), 2, "there is nobody else");
});

test("a full inbox gives a connection back to who accepted it, and no slot lets it wait", {
  skip,
}, () => {
  using reactors = new Reactors("least-connections", 2, { inbox: 4 });
  reactors.setConnections(100, 0);
  const at = Array.from({ length: 6 }, (_, handle) => reactors.accept(0, handle));
  assert.deepEqual(at, [1, 1, 1, 1, 0, 0]);
  assert.deepEqual(reactors.drivers[0]?.adopted, [DESCRIPTOR + 4, DESCRIPTOR + 5]);
  const other = reactors.drivers[1] as AdoptingDriver;
  other.slots = 2;
  assert.equal(reactors.receive(1), 2);
  assert.equal(reactors.seats.inboxes[1]?.length, 2);
  other.slots = 10;
  assert.equal(reactors.receive(1), 2);
  assert.deepEqual(
    [...other.adopted].sort(),
    [0, 1, 2, 3].map((handle) => DESCRIPTOR + handle),
  );
});

test("what was handed over stays in the inbox until the driver has noted it", { skip }, (t) => {
  const { seats, drivers, placements, wakes } = new Reactors("least-connections", 1);
  t.after(() => wakes.forEach(closeDescriptor));
  const [driver] = drivers;
  const [inbox] = seats.inboxes;
  assert.ok(driver && inbox?.put(DESCRIPTOR));
  const adopt = driver.adopt;
  const waiting: number[] = [];
  driver.adopt = (descriptor) => {
    waiting.push(inbox.length);
    return adopt(descriptor);
  };
  placements[0]?.receive(() => waiting.push(inbox.length));
  assert.deepEqual(waiting, [1, 0]);
});

test("one turn takes a bounded number, and the next one does not wait", { skip }, () => {
  using reactors = new Reactors("least-connections", 2, { inbox: 128 });
  for (let n = 0; n < 100; n++) reactors.seats.handOver(1, DESCRIPTOR + n);
  assert.equal(reactors.receive(1), 64);
  assert.equal(reactors.drivers[1]?.wakes, 1);
  assert.equal(reactors.receive(1), 36);
  assert.equal(reactors.drivers[1]?.wakes, 1);
});
