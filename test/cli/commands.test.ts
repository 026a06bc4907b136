// What the commands do and say when all is well.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { statisticsLine } from "../../src/cli/live-statistics.ts";
import { makeCounters } from "../../src/reactor/counters.ts";
import { readStatistics, type Statistics } from "../../src/server/statistics.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";

const HANDLERS = new URL("../support/handlers/lethal.ts", import.meta.url).pathname;
const ipv6 = Object.values(networkInterfaces()).some((rows) =>
  rows?.some(({ address }) => address === "::1"),
);

async function output(child: Child): Promise<string> {
  assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
  assert.equal(child.stderr, "");
  return child.stdout;
}

async function assertEchoes(client: Client): Promise<void> {
  client.write("hello\n");
  assert.equal((await client.bytes(6)).toString(), "hello\n");
  client.socket.end();
  await client.end();
}

async function assertEnds(child: Child): Promise<void> {
  child.kill("SIGTERM");
  assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
  assert.equal(child.stderr, "");
}

describe("help", { concurrency: 4 }, () => {
  for (const args of [["--help"], ["-h"], ["help"]]) {
    test(`sluice ${args.join(" ")}`, async (t) => {
      const text = await output(Child.cli(t, ...args));
      assert.match(text, /Usage: sluice COMMAND/);
      assert.match(text, /^ {2}serve /m);
      assert.match(text, /^ {2}doctor /m);
    });
  }

  test("sluice serve --help names every option", async (t) => {
    const text = await output(Child.cli(t, "serve", "--help"));
    const options = [
      "port",
      "host",
      "path",
      "driver",
      "model",
      "threads",
      "connections",
      "idle-ms",
    ];
    for (const option of [...options, "drain-ms", "json", "help"]) {
      assert.match(text, new RegExp(`^ {2}--${option}\\b`, "m"));
    }
  });

  test("sluice help serve is sluice serve --help", async (t) => {
    assert.match(await output(Child.cli(t, "help", "serve")), /^Usage: sluice serve /);
  });

  test("sluice doctor --help", async (t) => {
    assert.match(await output(Child.cli(t, "doctor", "-h")), /Usage: sluice doctor \[--json\]/);
  });

  for (const flag of ["--version", "-V"]) {
    test(`sluice ${flag} is the package's version`, async (t) => {
      const json = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
      const { version }: { version: string } = JSON.parse(json);
      assert.equal(await output(Child.cli(t, flag)), `${version}\n`);
    });
  }
});

describe("doctor", { concurrency: 2 }, () => {
  test("for people", async (t) => {
    const text = await output(Child.cli(t, "doctor"));
    assert.match(text, new RegExp(`^Node +${process.version} on ${process.platform}`, "m"));
    for (const { name, skip } of DRIVERS) {
      assert.match(text, new RegExp(`^${name} +${skip === false ? "works" : "refused: ."}`, "m"));
    }
    assert.match(text, /^choice +\w+ \(.+\)$/m);
  });

  test("as JSON", async (t) => {
    const told = JSON.parse(await output(Child.cli(t, "doctor", "--json")));
    assert.equal(told.node, process.version);
    assert.deepEqual(told.selfTest, []);
    for (const { name, skip } of DRIVERS) assert.equal(told.drivers[name] === null, skip === false);
    const best = DRIVERS.find(({ skip }) => skip === false);
    assert.equal(told.choice.driver, best?.name);
    assert.ok(told.cores >= 1);
  });
});

describe("serve", { concurrency: 3 }, () => {
  test("without a file it echoes, and says how to talk to it", async (t) => {
    const child = Child.cli(t, "serve", "--port", "0", "--threads", "2");
    const [, port] = await child.says(
      /^listening on 127\.0\.0\.1:(\d+) with the \w+ driver \(.+\), model multi-reactor, 2 threads$/m,
    );
    await child.says(
      new RegExp(`^try it: printf 'hello\\\\n' \\| nc -q 1 127\\.0\\.0\\.1 ${port}$`, "m"),
    );
    const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
    await assertEchoes(await Client.connect(t, address));
    await assertEnds(child);
    assert.match(
      child.stdout,
      /^closing: connections may finish within 10000 ms; a second signal ends at once$/m,
    );
    assert.match(child.stdout, /^closed after 1 connection and 1 message: all finished$/m);
  });

  test("--json says it in lines of JSON, and nothing else", async (t) => {
    const child = Child.cli(t, "serve", HANDLERS, "--port", "0", "--model", "event-loop", "--json");
    await child.says(/\n/);
    const listening = JSON.parse(child.stdoutLines[0] ?? "");
    assert.deepEqual(
      { ...listening, address: undefined, why: undefined, driver: undefined },
      {
        event: "listening",
        model: "event-loop",
        threads: 1,
        address: undefined,
        why: undefined,
        driver: undefined,
      },
    );
    assert.equal(listening.address.family, "ipv4");
    await assertEchoes(await Client.connect(t, listening.address));
    await assertEnds(child);
    const events = child.stdoutLines.map((line) => JSON.parse(line));
    assert.deepEqual(
      events.map(({ event }) => event),
      ["listening", "closing", "statistics", "closed"],
    );
    const { connections, accepted, messages } = events[2];
    assert.deepEqual(
      { connections, accepted, messages },
      { connections: 0, accepted: 1, messages: 1 },
    );
    assert.equal(events[3].clean, true);
  });

  test("SIGINT ends it as SIGTERM does", async (t) => {
    const child = Child.cli(t, "serve", "--port", "0");
    await child.says(/try it/);
    child.kill("SIGINT");
    assert.deepEqual(await child.exit(), { code: 0, signal: null });
  });

  for (const { name: driver, skip } of DRIVERS) {
    test(`a Unix socket is made, taken over when stale, refused when live, removed at the end: ${driver}`, {
      skip,
    }, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), "sluice-"));
      t.after(() => rmSync(directory, { recursive: true, force: true }));
      const path = join(directory, "s.sock");
      const args = ["serve", "--path", path, "--driver", driver];
      const killed = Child.cli(t, ...args);
      await killed.says(/listening on unix:.*s\.sock/);
      await assertEchoes(await Client.connect(t, { family: "unix", path }));
      const rival = Child.cli(t, ...args);
      assert.equal((await rival.exit()).code, 1);
      assert.match(rival.stderr, /EADDRINUSE/);
      assert.equal(rival.stderrLines.length, 1, rival.stderr);
      await assertEchoes(await Client.connect(t, { family: "unix", path }));
      killed.kill("SIGKILL");
      await killed.exit();
      assert.ok(existsSync(path), "a stale socket to be taken over");
      const second = Child.cli(t, ...args);
      await second.says(/try it: .*nc -U/);
      await assertEchoes(await Client.connect(t, { family: "unix", path }));
      await assertEnds(second);
      assert.equal(existsSync(path), false, "the path is still there");
    });

    test(`an abstract socket: ${driver}`, { skip }, async (t) => {
      const name = `sluice-${process.pid}-${driver}`;
      const child = Child.cli(t, "serve", "--path", `@${name}`, "--driver", driver);
      await child.says(new RegExp(`listening on unix:@${name} `));
      await assertEchoes(await Client.connect(t, { family: "unix", path: `\0${name}` }));
      await assertEnds(child);
    });

    test(`IPv6, and both at once: ${driver}`, {
      skip: skip || (ipv6 ? false : "no IPv6"),
    }, async (t) => {
      const six = Child.cli(t, "serve", "--host", "::1", "--port", "0", "--driver", driver);
      const [, onlySix] = await six.says(/listening on \[::1\]:(\d+)/);
      const address = { family: "ipv6", host: "::1", port: Number(onlySix) } as const;
      await assertEchoes(await Client.connect(t, address));
      await assertEnds(six);
      const dual = Child.cli(t, "serve", "--host", "::", "--port", "0", "--driver", driver);
      const [, port] = await dual.says(/listening on \[::\]:(\d+)/);
      await assertEchoes(
        await Client.connect(t, { family: "ipv4", host: "127.0.0.1", port: Number(port) }),
      );
      await assertEchoes(
        await Client.connect(t, { family: "ipv6", host: "::1", port: Number(port) }),
      );
      await assertEnds(dual);
    });
  }
});

describe("the line of live statistics", () => {
  const none = readStatistics(makeCounters(1), 1);
  const with_ = (changes: Partial<Statistics>): Statistics => ({ ...none, ...changes });

  test("says what is open and what happened, per second", () => {
    const before = with_({ messages: 1000, bytesReceived: 5000, bytesSent: 10 });
    const now = with_({
      connections: 7,
      messages: 4000,
      bytesReceived: 2_005_000,
      bytesSent: 4_000_000_010,
    });
    assert.equal(
      statisticsLine(before, now, 2000),
      "7 connections  1.5 k messages/s  1.0 MB/s in  2.0 GB/s out",
    );
    assert.equal(
      statisticsLine(none, none, 1000),
      "0 connections  0 messages/s  0 B/s in  0 B/s out",
    );
  });

  test("tells what is wrong only when something is", () => {
    const now = with_({ outputBytes: 1536, acceptErrors: 2, handlerErrors: 1 });
    assert.match(
      statisticsLine(none, now, 1000),
      / {2}1\.5 kB waiting {2}2 accept errors {2}1 handler errors$/,
    );
  });
});
