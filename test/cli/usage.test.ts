// Mistakes on the command line: each is one line that says what would be right, an exit code, and never a stack.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Child } from "../support/child.ts";
import { DRIVERS } from "../support/drivers.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** [arguments, exit code, what the one line says]. */
type Mistake = readonly [readonly string[], number, RegExp];

const USAGE: readonly Mistake[] = [
  [[], 2, /which command\? serve, .*doctor/],
  [["frobnicate"], 2, /there is no command "frobnicate"/],
  [["--port", "1"], 2, /there is no command "--port"/],
  [["serve", "--frobnicate"], 2, /Unknown option '--frobnicate' \(sluice serve --help\)$/],
  [["help", "frobnicate"], 2, /there is no command "frobnicate" \(sluice --help\)$/],
  [["serve", "--port", "http"], 2, /--port takes an integer from 0 to 65535, not "http"/],
  [["serve", "--port", "65536"], 2, /--port takes an integer from 0 to 65535, not "65536"/],
  [["serve", "--port", "80.5"], 2, /--port takes an integer/],
  [["serve", "--port", ""], 2, /--port takes an integer/],
  [["serve", "--port=-1"], 2, /--port takes an integer/],
  [["serve", "--port"], 2, /'--port <value>' argument missing/],
  [
    ["serve", "--driver", "kqueue"],
    2,
    /--driver takes auto, io_uring, epoll, portable, not "kqueue"/,
  ],
  [
    ["serve", "--model", "fork"],
    2,
    /--model takes multi-reactor, hybrid, event-loop, thread-pool, .*, not "fork"/,
  ],
  [["serve", "--balance", "fair"], 2, /--balance takes kernel, least-connections, .*not "fair"/],
  [["serve", "--pin", "some"], 2, /--pin takes all, or a list of cores as 0,2, not "some"/],
  [
    ["serve", "--pin", "4000"],
    2,
    /^sluice: --pin: core 4000 is none that this process may run on: \d/,
  ],
  [["serve", "--threads", "0"], 2, /--threads takes an integer from 1 to 256, not "0"/],
  [["serve", "--threads", "257"], 2, /--threads takes an integer from 1 to 256, not "257"/],
  [["serve", "--model", "thread-pool", "--driver", "epoll"], 2, /leave out --driver/],
  [["serve", "--model", "event-loop", "--threads", "2"], 2, /event-loop has one thread/],
  [["serve", "one.ts", "two.ts"], 2, /serve takes one FILE/],
  [["serve", "--path", "x", "--port", "1"], 2, /--path and --host or --port exclude each other/],
  [["serve", "--path", "x", "--host", "::1"], 2, /--path and --host or --port exclude/],
  [["serve", "--path", ""], 2, /--path must be a string that is not empty/],
  [["serve", "--path", "@"], 2, /an abstract name has at least one byte/],
  [["serve", "--path", "x".repeat(200)], 2, /a Unix socket's path has 1 to 107 bytes/],
  [["serve", "--host", "fe80::1%nope"], 2, /no network interface is named "nope"/],
  [["call", "0", "echo", "1"], 2, /port must be an integer from 1/],
  [["serve", "--connections", "0"], 2, /--connections takes an integer from 1/],
  [["serve", "--connections", "1000000"], 2, /may open \d+ descriptors.*ulimit -n/],
  [["serve", "--idle-ms", "soon"], 2, /--idle-ms takes an integer/],
  [["serve", "--drain-ms", "x"], 2, /--drain-ms takes an integer/],
  [["doctor", "--frobnicate"], 2, /Unknown option '--frobnicate'/],
  [["doctor", "me"], 2, /Unexpected argument 'me'/],
];

const noMessage = file("no-message.ts", "export default { opened() {} };");
const misspelt = file("misspelt.ts", "export default { message() {}, clsoed() {} };");
const noTable = file("no-table.ts", "export const port = 1;");
const throwing = file("throwing.ts", 'throw new Error("first line\\nsecond line");');
const broken = file("broken.ts", "export default {");
const importing = file("importing.ts", 'import "./nowhere.ts"; export default { message() {} };');

const built = new URL("../../dist/nothing-of-that-name.js", import.meta.url).href;
const unbuilt = file("unbuilt.ts", `import "${built}"; export default { message() {} };`);

/** With what the handler modules get wrong; each for both models. */
const MODULES: readonly Mistake[] = [
  [["serve", noMessage], 2, /no-message\.ts must have a message handler/],
  [
    ["serve", misspelt],
    2,
    /misspelt\.ts: there is no handler clsoed; there are started, broadcast, state, opened, message/,
  ],
  [["serve", noTable], 2, /no-table\.ts must have a table of handlers as its default export/],
  [
    ["serve", throwing],
    1,
    /^sluice: the handler module \S+throwing\.ts cannot be loaded: Error: first line$/,
  ],
  [["serve", broken], 1, /broken\.ts cannot be loaded: SyntaxError/],
  [["serve", importing], 1, /Cannot find module .*nowhere\.ts/],
  [
    ["serve", unbuilt],
    1,
    /unbuilt\.ts imports "sluice", which is not built here: run "npm run build" first$/,
  ],
];

const KEY_VALUE = fileURLToPath(new URL("../../examples/key-value.ts", import.meta.url));

const RUNNING: readonly Mistake[] = [
  [["serve", directory], 1, /is a directory: serve takes the file of a handler module$/],
  [
    ["serve", KEY_VALUE, "--threads", "2"],
    1,
    /^sluice: the handler started failed: the keys live in one thread: start it with --model event-loop \(at .*key-value\.ts:\d+:\d+\)+$/,
  ],
  [["serve", join(directory, "missing.ts")], 1, /there is no file .*missing\.ts/],
  [["serve", "--port", "0", "--host", "203.0.113.7"], 1, /203\.0\.113\.7:0.*\(EADDRNOTAVAIL\)/],
  [["serve", "--path", "/nowhere/at/all.sock"], 1, /all\.sock: .*\(ENOENT\)/],
];

function check([args, code, line]: Mistake): void {
  test(`exit ${code}: sluice ${args.join(" ").replaceAll(`${directory}/`, "").slice(0, 70)}`, async (t) => {
    const child = Child.cli(t, ...args);
    assert.deepEqual(await child.exit(), { code, signal: null }, child.story());
    assert.equal(child.stderrLines.length, 1, child.stderr);
    assert.match(child.stderr.trim(), line);
    assert.match(child.stderr, /^sluice: /);
    assert.doesNotMatch(child.stderr, /^ +at /m);
    assert.equal(child.stdout, "");
  });
}

describe("usage", { concurrency: 4 }, () => {
  for (const mistake of USAGE) check(mistake);
});

describe("handler modules", { concurrency: 4 }, () => {
  for (const [args, code, line] of MODULES) {
    check([[...args, "--port", "0"], code, line]);
    check([[...args, "--port", "0", "--model", "event-loop"], code, line]);
  }
});

describe("what the system refuses", { concurrency: 4 }, () => {
  for (const mistake of RUNNING) check(mistake);

  for (const { name: driver, skip } of DRIVERS) {
    test(`exit 1: the port is in use, ${driver}`, { skip }, async (t) => {
      const server = createServer().listen(0, "127.0.0.1");
      t.after(() => server.close());
      await once(server, "listening");
      const address = server.address();
      assert.ok(typeof address === "object" && address !== null);
      const child = Child.cli(t, "serve", "--driver", driver, "--port", String(address.port));
      assert.deepEqual(await child.exit(), { code: 1, signal: null }, child.story());
      assert.equal(child.stderrLines.length, 1, child.stderr);
      assert.match(
        child.stderr,
        new RegExp(
          `^sluice: .*:${address.port}: .*\\(EADDRINUSE\\) \\(--port N takes another\\)\n$`,
        ),
      );
    });

    test(`exit 1: another sluice has the port, ${driver}`, { skip }, async (t) => {
      const first = Child.cli(t, "serve", "--driver", driver, "--port", "0");
      const [, port = ""] = await first.says(/listening on 127\.0\.0\.1:(\d+)/);
      const second = Child.cli(t, "serve", "--driver", driver, "--port", port);
      assert.equal((await second.exit()).code, 1, second.story());
      assert.match(second.stderr, /EADDRINUSE/);
      first.kill("SIGTERM");
      assert.equal((await first.exit()).code, 0);
    });
  }
});
