// No descriptor of ours reaches a program that somebody in this process starts.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { afterEach, describe, test } from "node:test";
import { CHOICES, sharesDescriptors } from "../../src/driver/choices.ts";
import { makeDriver, probeDriver } from "../../src/driver/choose-driver.ts";
import type { DriverEvents, Handle } from "../../src/driver/driver.ts";
import { UringRing } from "../../src/driver/uring-ring.ts";
import { FD_CLOEXEC, SOCK_CLOEXEC, SOCK_NONBLOCK } from "../../src/sys/abi.ts";
import { acceptFrom, openEpoll } from "../../src/sys/epoll-calls.ts";
import { EBADF } from "../../src/sys/errno.ts";
import { nativeLibrary } from "../../src/sys/native-library.ts";
import { descriptorFlags, openEventfd, openSocket } from "../../src/sys/socket-calls.ts";
import { NO_NATIVE, NO_RING } from "./native-here.ts";
import { addressOf, Descriptors, IPV4 } from "./sockets.ts";

const O_CLOEXEC = 0o2000000;
const descriptors = new Descriptors();

describe("close-on-exec", { skip: NO_NATIVE }, () => {
  afterEach(() => descriptors.closeAll());

  test("sockets, accepted ones, epoll, eventfd", () => {
    const { listener, client, server } = descriptors.pair();
    const kinds = {
      listener,
      client,
      server,
      nonBlocking: descriptors.keep(openSocket("ipv6", true)),
      unix: descriptors.keep(openSocket("unix", false)),
      acceptedNonBlocking: acceptedNonBlocking(listener),
      epoll: descriptors.keep(openEpoll()),
      eventfd: descriptors.keep(openEventfd()),
    };
    for (const [kind, descriptor] of Object.entries(kinds)) {
      assert.equal(descriptorFlags(descriptor), FD_CLOEXEC, kind);
    }
  });

  test("a ring", { skip: NO_RING }, () => {
    const ring = UringRing.open(64);
    assert.ok(typeof ring === "object");
    try {
      assert.equal(descriptorFlags(ring.descriptor), FD_CLOEXEC);
    } finally {
      ring.close();
    }
  });

  test("a descriptor that is none has no flags", () => {
    assert.equal(descriptorFlags(-1), -EBADF);
  });

  for (const choice of CHOICES.filter(sharesDescriptors)) {
    test(`everything that the ${choice} driver opens`, {
      skip: probeDriver(choice) ?? false,
    }, () => {
      const before = openDescriptors();
      const accepted: Handle[] = [];
      const driver = makeDriver(choice, {
        events: eventsInto(accepted),
        slots: 16,
        outputBytes: 1 << 20,
      });
      try {
        const target = { address: IPV4, backlog: 16, options: {} };
        const listener = driver.listen(target);
        driver.turn(0);
        driver.resume(listener);
        const client = descriptors.connect(addressOf(driver.descriptor(listener)));
        for (let turns = 0; turns < 100 && accepted.length === 0; turns++) driver.turn(10);
        assert.equal(accepted.length, 1);
        const opened = openDescriptors().filter((descriptor) => !before.includes(descriptor));
        // At least a listener, a connection, its client, an eventfd, and the mechanism.
        assert.ok(opened.length >= 5, opened.join());
        const inherited = opened.filter((descriptor) => !closesOnExec(descriptor));
        assert.deepEqual(inherited.map(describeDescriptor), []);
        const child = execFileSync("ls", ["/proc/self/fd"], { encoding: "utf8", stdio: "pipe" });
        const theirs = child.trim().split("\n").map(Number);
        assert.deepEqual(
          theirs.filter((descriptor) => descriptor === client),
          [],
        );
      } finally {
        driver.dispose();
      }
    });
  }

  test("the check finds one that is inherited", () => {
    const F_SETFD = 2;
    const socket = descriptors.keep(openSocket("ipv4", false));
    assert.equal(closesOnExec(socket), true);
    assert.equal(nativeLibrary().fcntl(socket, F_SETFD, 0), 0);
    assert.equal(closesOnExec(socket), false);
  });
});

function acceptedNonBlocking(listener: number): number {
  descriptors.connect(addressOf(listener));
  return descriptors.keep(acceptFrom(listener, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

function eventsInto(accepted: Handle[]): DriverEvents {
  const ignore = () => {
    // What else happens is no matter here.
  };
  return {
    listening: (_listener, result) => assert.equal(result, 0),
    accepted: (_listener, result) => accepted.push(result),
    connected: ignore,
    received: ignore,
    sent: ignore,
    closed: ignore,
    detached: ignore,
  };
}

function openDescriptors(): number[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((descriptor) => descriptorFlags(descriptor) >= 0);
}

function closesOnExec(descriptor: number): boolean {
  const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"));
  return (Number.parseInt(flags?.[1] ?? "0", 8) & O_CLOEXEC) !== 0;
}

function describeDescriptor(descriptor: number): string {
  return `${descriptor}: ${readlinkSync(`/proc/self/fd/${descriptor}`)}`;
}
