// Whom a reactor accepts and when, against a driver that only writes down: the limits, the back-off, and that accepting
// goes on only when the last of several reasons against it is gone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { completeLimits, type Limits } from "../../src/limits.ts";
import { Acceptor } from "../../src/reactor/acceptor.ts";
import { ACCEPT_ERRORS, COUNTER_STRIDE, REFUSED } from "../../src/reactor/counters.ts";
import { ECONNABORTED, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM } from "../../src/sys/errno.ts";
import { RecordingDriver } from "./recording-driver.ts";

const FIRST = 1;
const SECOND = 2;

function subject(limits: Partial<Limits> = {}) {
  const driver = new RecordingDriver();
  const counters = new Float64Array(COUNTER_STRIDE);
  const acceptor = new Acceptor(driver, completeLimits(limits), counters);
  acceptor.add(FIRST);
  acceptor.add(SECOND);
  assert.deepEqual(driver.takeLog(), [`resume ${FIRST}`, `resume ${SECOND}`]);
  let handle = 100;
  const from = (host: string, connections = 1) => {
    driver.addresses.set(++handle, { family: host.includes(":") ? "ipv6" : "ipv4", host, port: 9 });
    return acceptor.admit(handle, connections);
  };
  return { driver, counters, acceptor, from };
}

const PAUSED = [`pause ${FIRST}`, `pause ${SECOND}`];
const RESUMED = [`resume ${FIRST}`, `resume ${SECOND}`];

test("at the limit of connections accepting stops, once, and goes on with the first that leaves", () => {
  const { driver, acceptor, from } = subject({ connections: 3 });
  for (const count of [1, 2]) assert.equal(from("127.0.0.1", count), undefined);
  assert.deepEqual(driver.takeLog(), []);
  from("127.0.0.1", 3);
  assert.deepEqual(driver.takeLog(), PAUSED);
  from("127.0.0.1", 4);
  acceptor.dismissed(undefined, 3);
  assert.deepEqual(driver.takeLog(), [], "there is still no room");
  acceptor.dismissed(undefined, 2);
  assert.deepEqual(driver.takeLog(), RESUMED);
});

for (const [host, counted] of [
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8::7", "2001:db8:0:0::/64"],
] as const) {
  test(`${host} has as many connections as one address may, others theirs`, () => {
    const { driver, counters, acceptor, from } = subject({ connectionsPerAddress: 2 });
    assert.equal(from(host), counted);
    assert.equal(from(host), counted);
    assert.equal(from(host), false);
    assert.equal(from(host), false);
    assert.equal(counters[REFUSED], 2);
    assert.equal(from("192.0.2.8"), "192.0.2.8");
    acceptor.dismissed(counted, 1);
    assert.equal(from(host), counted, "one has left");
    assert.equal(from(host), false);
    for (let n = 0; n < 2; n++) acceptor.dismissed(counted, 1);
    assert.deepEqual([from(host), from(host), from(host)], [counted, counted, false]);
    assert.deepEqual(driver.takeLog(), [], "an address that is full stops nobody else");
  });
}

test("this machine's own connections are not counted", () => {
  const { driver, counters, acceptor, from } = subject({ connectionsPerAddress: 1 });
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    for (let n = 0; n < 3; n++) assert.equal(from(host), undefined, host);
  }
  driver.addresses.set(7, { family: "unix", path: "" });
  for (let n = 0; n < 3; n++) assert.equal(acceptor.admit(7, 1), undefined);
  assert.equal(counters[REFUSED], 0);
  for (const [host, counted] of [
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["128.0.0.1", "128.0.0.1"],
    ["::11", "0:0:0:0::/64"],
  ] as const) {
    assert.deepEqual([from(host), from(host)], [counted, false], "not loopback");
  }
});

test("a network of IPv6 counts as one address, and the network beside it as another", () => {
  const { from } = subject({ connectionsPerAddress: 2 });
  const counted = ["2001:db8::7", "2001:db8::1:2:3:4", "2001:db8:0:0:5::", "2001:db8:0:1::7"].map(
    (host) => from(host),
  );
  const [one, other] = ["2001:db8:0:0::/64", "2001:db8:0:1::/64"];
  assert.deepEqual(counted, [one, one, false, other]);
});

for (const [errno, name] of Object.entries({
  [EMFILE]: "EMFILE",
  [ENFILE]: "ENFILE",
  [ENOBUFS]: "ENOBUFS",
  [ENOMEM]: "ENOMEM",
})) {
  test(`${name}: accepting stops for 5 ms, doubling up to 1 s, and from 5 ms again after a success`, () => {
    const { driver, counters, acceptor, from } = subject();
    let now = 1000;
    for (const wait of [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]) {
      acceptor.failed(FIRST, -errno, now);
      assert.deepEqual(driver.takeLog(), PAUSED);
      assert.equal(acceptor.retryMs, now + wait);
      acceptor.retry(now + wait - 1);
      assert.deepEqual(driver.takeLog(), [], "too early");
      now += wait;
      acceptor.retry(now);
      assert.deepEqual(driver.takeLog(), RESUMED);
      assert.equal(acceptor.retryMs, Number.POSITIVE_INFINITY);
    }
    assert.equal(counters[ACCEPT_ERRORS], 11);
    from("127.0.0.1");
    acceptor.failed(FIRST, -errno, now);
    assert.equal(acceptor.retryMs, now + 5);
  });
}

test("a connection that failed before it was accepted does not stop the next one", () => {
  const { driver, counters, acceptor } = subject();
  acceptor.failed(SECOND, -ECONNABORTED, 0);
  assert.deepEqual(driver.takeLog(), [`resume ${SECOND}`]);
  assert.equal(acceptor.retryMs, Number.POSITIVE_INFINITY);
  assert.equal(counters[ACCEPT_ERRORS], 1);
  acceptor.setMemoryScarce(true);
  driver.takeLog();
  acceptor.failed(SECOND, -ECONNABORTED, 0);
  assert.deepEqual(driver.takeLog(), [], "accepting is stopped for another reason");
});

/** Every order in which three reasons can go away. */
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

for (const order of ORDERS) {
  test(`with several reasons to stop, only the last that goes lets accepting go on: ${order}`, () => {
    const { driver, acceptor, from } = subject({ connections: 2 });
    from("127.0.0.1", 2);
    acceptor.failed(FIRST, -EMFILE, 0);
    acceptor.setMemoryScarce(true);
    assert.deepEqual(driver.takeLog(), PAUSED, "paused once");
    const gone = [
      () => acceptor.dismissed(undefined, 1),
      () => acceptor.retry(5),
      () => acceptor.setMemoryScarce(false),
    ];
    gone[order[0]]?.();
    gone[order[1]]?.();
    acceptor.add(3);
    assert.deepEqual(driver.takeLog(), [], "there is a reason left, for a new listener too");
    gone[order[2]]?.();
    assert.deepEqual(driver.takeLog(), [...RESUMED, "resume 3"]);
    for (const go of gone) go();
    assert.deepEqual(driver.takeLog(), [], "nothing was stopped any more");
  });
}

test("a descriptor that becomes free ends the wait for one, and keeps no other reason from holding", () => {
  const { driver, acceptor } = subject();
  acceptor.failed(FIRST, -EMFILE, 0);
  driver.takeLog();
  acceptor.released();
  assert.deepEqual(driver.takeLog(), RESUMED);
  assert.equal(acceptor.retryMs, Number.POSITIVE_INFINITY, "it would try a second time");
  acceptor.failed(FIRST, -EMFILE, 0);
  acceptor.setMemoryScarce(true);
  driver.takeLog();
  acceptor.released();
  assert.deepEqual(driver.takeLog(), []);
});

test("a listener that the server has stopped is no accept error and is not tried again", () => {
  const { driver, acceptor, counters } = subject();
  driver.takeLog();
  acceptor.failed(FIRST, -EINVAL, 0);
  assert.deepEqual(driver.takeLog(), []);
  assert.equal(counters[ACCEPT_ERRORS], 0);
});

test("closed, it closes its listeners and touches them no more", () => {
  const { driver, acceptor } = subject();
  acceptor.failed(FIRST, -EMFILE, 0);
  driver.takeLog();
  acceptor.close();
  assert.deepEqual(driver.takeLog(), [`close ${FIRST}`, `close ${SECOND}`]);
  assert.equal(acceptor.retryMs, Number.POSITIVE_INFINITY, "it would wake the thread for nothing");
  acceptor.setMemoryScarce(true);
  acceptor.setMemoryScarce(false);
  assert.deepEqual(driver.takeLog(), []);
});

test("a listener that is still being opened when all are closed is closed, and never accepts", async () => {
  const { driver, acceptor } = subject();
  driver.listener = 3;
  const opening = acceptor.listen({ descriptor: 9, shared: true });
  acceptor.close();
  driver.takeLog();
  acceptor.listening(3, 0);
  await assert.rejects(opening, { code: "ECANCELED" });
  assert.deepEqual(driver.takeLog(), ["close 3"]);
});
