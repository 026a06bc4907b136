// A host that refuses the best driver gets the next one, at once, and is told why; a driver asked for by name is refused in
// one clear line instead.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, type TestContext, test } from "node:test";
import { Child, CLI } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";

/** strace makes the call fail as a host does that forbids it; with -D it is the server that is our child. */
const strace = spawnSync("strace", ["-V"]).status === 0;
const skip = strace ? false : "strace is not installed";
const REFUSE = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=io_uring_setup"];
const FORBIDDEN = /forbidden here \(the sysctl kernel\.io_uring_disabled, or a container's seccomp/;

function refused(t: TestContext, error: string, ...args: string[]): Child {
  const inject = ["-e", `inject=io_uring_setup:error=${error}`];
  return Child.start(t, "strace", [...REFUSE, ...inject, process.execPath, CLI, ...args]);
}

async function assertServes(t: TestContext, child: Child, driver: string): Promise<string> {
  const [, told] = await child.says(/(\{"event":"listening".*\})\n/);
  const line: { driver: string; why: string; address: { port: number } } = JSON.parse(told ?? "");
  assert.equal(line.driver, driver);
  const { port } = line.address;
  const client = await Client.connect(t, { family: "ipv4", host: "127.0.0.1", port });
  client.write("hello");
  assert.equal((await client.bytes(5)).toString(), "hello");
  client.socket.end();
  return line.why;
}

describe("io_uring is refused", { skip }, () => {
  test("auto takes epoll, within a second, and says why", async (t) => {
    const args = ["serve", "--port", "0", "--json", "--threads", "2"];
    const plain = performance.now();
    await refused(t, "EPERM", ...args, "--driver", "epoll").says(/listening/);
    const plainMs = performance.now() - plain;
    const started = performance.now();
    const child = refused(t, "EPERM", ...args);
    await child.says(/listening/);
    const moreMs = performance.now() - started - plainMs;
    assert.ok(moreMs < 1000 + plainMs, `${moreMs} ms more than without a fall-back`);
    assert.match(await assertServes(t, child, "epoll"), FORBIDDEN);
    child.kill("SIGTERM");
  });

  test("auto says it to people, too", async (t) => {
    const child = refused(t, "ENOSYS", "serve", "--port", "0");
    await child.says(/with the epoll driver \(io_uring refused: this kernel has no io_uring/);
    child.kill("SIGTERM");
  });

  test("--driver io_uring is an error: exit code 1 and one line", async (t) => {
    const child = refused(t, "EPERM", "serve", "--port", "0", "--driver", "io_uring");
    assert.equal((await child.exit()).code, 1);
    assert.equal(child.stderrLines.length, 1, child.stderr);
    assert.match(child.stderr, /^sluice: the io_uring driver cannot run here: forbidden/);
    assert.equal(child.stdout, "");
  });

  test("doctor tells it, and still finds a driver", async (t) => {
    const child = refused(t, "EPERM", "doctor");
    assert.equal((await child.exit()).code, 0);
    assert.match(child.stdout, /^io_uring +refused: forbidden here/m);
    assert.match(child.stdout, /^choice +epoll \(io_uring refused/m);
  });
});

describe("node:ffi and the network are refused", () => {
  const flags = ["--permission", "--allow-fs-read=*", "--disable-warning=SecurityWarning", CLI];

  test("no driver can run: exit code 1 and one line", async (t) => {
    const child = Child.node(t, [...flags, "serve", "--port", "0", "--model", "event-loop"]);
    assert.equal((await child.exit()).code, 1);
    assert.equal(child.stderrLines.length, 1, child.stderr);
    assert.match(
      child.stderr,
      /no driver can run here: .*--allow-ffi.*portable refused: .*--allow-net/,
    );
  });

  test("doctor says so", async (t) => {
    const child = Child.node(t, [...flags, "doctor"]);
    await child.exit();
    assert.match(child.stdout, /^portable +refused: .*--allow-net/m);
  });
});

describe("node:ffi is refused", () => {
  const flags = [
    "--permission",
    "--allow-fs-read=*",
    "--allow-worker",
    "--allow-net",
    "--disable-warning=SecurityWarning",
    "--disable-warning=ExperimentalWarning",
    CLI,
  ];

  test("auto takes the portable driver and says why", async (t) => {
    const child = Child.node(t, [...flags, "serve", "--port", "0", "--json"]);
    const why = await assertServes(t, child, "portable");
    assert.match(why, /io_uring refused: node:ffi refused: .*--allow-ffi/);
    assert.match(why, /epoll refused: /);
    child.kill("SIGTERM");
    assert.equal((await child.exit()).code, 0, child.story());
  });

  for (const driver of ["io_uring", "epoll"]) {
    test(`--driver ${driver} is an error: exit code 1 and one line`, async (t) => {
      const child = Child.node(t, [...flags, "serve", "--port", "0", "--driver", driver]);
      assert.equal((await child.exit()).code, 1);
      assert.equal(child.stderrLines.length, 1, child.stderr);
      assert.match(child.stderr, /cannot run here: node:ffi refused: .*--allow-ffi/);
    });
  }
});

for (const { name: driver, skip: notHere } of DRIVERS) {
  test(`--driver ${driver} serves`, { skip: notHere }, async (t) => {
    const child = Child.cli(t, "serve", "--port", "0", "--json", "--driver", driver);
    assert.equal(await assertServes(t, child, driver), "as asked");
    child.kill("SIGTERM");
    assert.equal((await child.exit()).code, 0);
  });
}
