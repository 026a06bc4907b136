// Addresses: written as sockaddr bytes and read back they are the same; what cannot be written is refused.

import assert from "node:assert/strict";
import { isIPv6, SocketAddress } from "node:net";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { AF_INET, AF_INET6, AF_UNIX } from "../../src/sys/abi.ts";
import {
  type Address,
  AddressError,
  formatAddress,
  type InternetAddress,
  networkOf,
  readSockaddr,
  writeSockaddr,
} from "../../src/sys/address.ts";
import { NativeMemory, PAGE } from "../../src/sys/native-memory.ts";
import { NO_NATIVE } from "./native-here.ts";

const port = fc.integer({ min: 0, max: 65_535 });
const ipv4 = fc
  .tuple(fc.ipV4(), port)
  .map(([host, port]): InternetAddress => ({ family: "ipv4", host, port }));
const ipv6 = fc
  .tuple(fc.ipV6(), port)
  .map(([host, port]): InternetAddress => ({ family: "ipv6", host: canonical(host), port }));
/** Text without NUL that fits, in bytes. */
const name = (most: number) =>
  fc
    .string({ unit: "grapheme", minLength: 1, maxLength: most })
    .filter(
      (text) => !text.includes("\0") && Buffer.byteLength(text) <= most && text.isWellFormed(),
    );
const path = name(107).map((text): Address => ({ family: "unix", path: text }));
const abstract = name(106).map((text): Address => ({ family: "unix", path: `\0${text}` }));
const address = fc.oneof(ipv4, ipv6, path, abstract);

describe("addresses", { skip: NO_NATIVE }, () => {
  const memory = NO_NATIVE === false ? NativeMemory.allocate(PAGE) : undefined;
  const OFFSET = 64;
  after(() => memory?.release());

  function write(given: Address): number {
    assert.ok(memory !== undefined);
    return writeSockaddr(given, memory, OFFSET);
  }

  function read(length: number): Address {
    assert.ok(memory !== undefined);
    return readSockaddr(memory, OFFSET, length);
  }

  function bytes(length: number): Buffer {
    return memory?.bytes.subarray(OFFSET, OFFSET + length) ?? Buffer.alloc(0);
  }

  test("what is written reads back the same", () => {
    fc.assert(
      fc.property(address, (given) => {
        // What the address before it left behind must not matter.
        memory?.bytes.fill(0xee);
        assert.deepEqual(read(write(given)), given);
      }),
      { numRuns: 2000 },
    );
  });

  test("nothing outside of the sockaddr is written", () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (given) => {
        memory?.bytes.fill(0xee);
        const length = write(given);
        assert.equal(length, given.family === "ipv4" ? 16 : 28);
        assert.ok(memory?.bytes.subarray(0, OFFSET).every((byte) => byte === 0xee));
        assert.ok(memory?.bytes.subarray(OFFSET + length).every((byte) => byte === 0xee));
      }),
    );
  });

  test("the bytes are the kernel's: family in host order, port and address in network order", () => {
    const v4 = write({ family: "ipv4", host: "10.20.30.40", port: 0x1234 });
    assert.deepEqual([...bytes(v4).subarray(0, 8)], [AF_INET, 0, 0x12, 0x34, 10, 20, 30, 40]);
    const v6 = write({ family: "ipv6", host: "2001:db8::1", port: 7 });
    assert.deepEqual([...bytes(v6).subarray(0, 4)], [AF_INET6, 0, 0, 7]);
    assert.equal(bytes(v6).toString("hex", 8, 24), "20010db8000000000000000000000001");
    const unix = write({ family: "unix", path: "/a" });
    assert.deepEqual([...bytes(unix)], [AF_UNIX, 0, 47, 97, 0]);
    const named = write({ family: "unix", path: "\0a" });
    assert.deepEqual([...bytes(named)], [AF_UNIX, 0, 0, 97]);
  });

  test("a zone is a number or an interface's name", () => {
    assert.deepEqual(read(write({ family: "ipv6", host: "fe80::1%lo", port: 1 })), {
      family: "ipv6",
      host: "fe80::1%1",
      port: 1,
    });
    assert.deepEqual(read(write({ family: "ipv6", host: "fe80::1%77", port: 1 })), {
      family: "ipv6",
      host: "fe80::1%77",
      port: 1,
    });
  });

  test("what cannot be an address is refused, with a sentence", () => {
    const bad: readonly Address[] = [
      ...[-1, 65_536, 1.5, Number.NaN, Number.POSITIVE_INFINITY].map(
        (port): Address => ({ family: "ipv4", host: "127.0.0.1", port }),
      ),
      ...[
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        " 1.2.3.4",
        "::1",
        "1.2.3.4%lo",
        "1.2.3.4\0",
      ].map((host): Address => ({ family: "ipv4", host, port: 1 })),
      ...[
        "",
        "127.0.0.1",
        ":::",
        "fe80::1%",
        "fe80::1%no-such-device",
        "fe80::1%4294967296",
        "::1\0",
        "::1%1%2",
      ].map((host): Address => ({ family: "ipv6", host, port: 1 })),
      ...["", "x".repeat(108), "é".repeat(54), "a\0b", "\0"].map(
        (path): Address => ({ family: "unix", path }),
      ),
    ];
    for (const given of bad) {
      assert.throws(() => write(given), AddressError, JSON.stringify(given));
    }
  });

  test("any text as a host is a numeric address or refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.%]{0,30}$/)),
        (host) => {
          const given: Address = { family: "ipv6", host, port: 1 };
          try {
            const back = read(write(given));
            assert.ok(back.family === "ipv6" && isIPv6(host), host);
          } catch (error) {
            assert.ok(error instanceof AddressError, `${host}: ${String(error)}`);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("formatAddress", () => {
  test("is how people write them", () => {
    assert.equal(
      formatAddress({ family: "ipv4", host: "127.0.0.1", port: 7000 }),
      "127.0.0.1:7000",
    );
    assert.equal(formatAddress({ family: "ipv6", host: "::1", port: 7000 }), "[::1]:7000");
    assert.equal(formatAddress({ family: "unix", path: "/run/x.sock" }), "unix:/run/x.sock");
    assert.equal(formatAddress({ family: "unix", path: "\0x" }), "unix:@x");
  });

  test("what it writes, a URL understands", () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (given) => {
        const url = new URL(`tcp://${formatAddress(given)}`);
        assert.equal(Number(url.port || 0), given.port);
      }),
    );
  });
});

/** As the kernel's library writes it. */
function canonical(host: string): string {
  return new SocketAddress({ family: "ipv6", address: host }).address;
}

describe("whom an address belongs to", () => {
  const of = (host: string) =>
    networkOf({ family: host.includes(":") ? "ipv6" : "ipv4", host, port: 1 });

  test("an IPv4 address by itself, also one in IPv6", () => {
    assert.equal(of("192.0.2.1"), "192.0.2.1");
    assert.equal(of("::ffff:192.0.2.1"), "192.0.2.1");
    assert.notEqual(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
  });

  test("of IPv6 the first 64 bits, however they are written", () => {
    for (const host of ["2001:db8::7", "2001:db8::1:2:3:4", "2001:db8:0:0:1:2:3:4"]) {
      assert.equal(of(host), "2001:db8:0:0::/64", host);
    }
    assert.equal(of("2001:db8:0:5::"), "2001:db8:0:5::/64");
    assert.equal(of("::1.2.3.4"), "0:0:0:0::/64");
    assert.equal(of("64:ff9b:1:2::192.0.2.1"), "64:ff9b:1:2::/64");
    assert.equal(of("fe80::1%3"), "fe80:0:0:0::/64%3");
    assert.notEqual(of("fe80::1%3"), of("fe80::1%4"));
  });

  test("addresses with the same first 64 bits, and no others, are one", () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    const groups = fc.tuple(group, group, group, group, group, group, group, group);
    // In a network that is none of IPv4.
    const text = (list: readonly number[]) =>
      canonical([0x2001, ...list.slice(1)].map((one) => one.toString(16)).join(":"));
    fc.assert(
      fc.property(groups, groups, (one, other) => {
        const beside = [...one.slice(0, 4), ...other.slice(4)];
        assert.equal(of(text(one)), of(text(beside)));
        const far = one.with(3, (one[3] + 1) % 0x1_0000);
        assert.notEqual(of(text(one)), of(text(far)));
      }),
    );
  });
});
