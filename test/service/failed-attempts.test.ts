// Who fails to say who it is has to wait: by address, and of IPv6 by network.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FailedAttempts, hostOf } from "../../src/service/failed-attempts.ts";
import type { Address } from "../../src/sys/address.ts";

const FREE = 5;
const tellNobody = () => undefined;

function at(host: string): Address {
  return { family: host.includes(":") ? "ipv6" : "ipv4", host, port: 1 };
}

test("who has a whole network of IPv6 has no more attempts than who has one address", () => {
  const attempts = new FailedAttempts(tellNobody);
  for (let n = 1; n <= FREE; n++) {
    assert.equal(attempts.mustWait(at(`2001:db8::${n}`), 0), false, `attempt ${n}`);
    attempts.failed(at(`2001:db8::${n}`), 0);
  }
  assert.equal(attempts.mustWait(at("2001:db8::ffff"), 0), true, "another address of it");
  assert.equal(attempts.mustWait(at("2001:db8:0:1::1"), 0), false, "the network beside it");
  attempts.succeeded(at("2001:db8::1:2:3:4"));
  assert.equal(attempts.mustWait(at("2001:db8::1"), 0), false);
});

test("an IPv4 address has its own, also through IPv6", () => {
  const attempts = new FailedAttempts(tellNobody);
  for (let n = 0; n < FREE; n++) attempts.failed(at("192.0.2.1"), 0);
  assert.equal(attempts.mustWait(at("::ffff:192.0.2.1"), 0), true);
  assert.equal(attempts.mustWait(at("::ffff:192.0.2.2"), 0), false);
});

test("all clients of a Unix socket are one", () => {
  assert.equal(hostOf({ family: "unix", path: "/run/x" }), hostOf(undefined));
});
