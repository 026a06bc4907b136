// The Python client, written from docs/protocol.md alone, against a service: what it finds out in each of its scripts is
// printed as JSON, and looked at here.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything, nothing } from "../../src/protocol/schema.ts";
import { token } from "../../src/service/auth.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call, clientStream, duplex, notify, serverStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const FOLDER = fileURLToPath(new URL("../../examples/clients", import.meta.url));
const found = spawnSync("python3", ["--version"]);
const skip = found.status === 0 ? false : "python3 is not installed here";

/** Where the first script tells of a deadline. */
const LATE = 6;

const PROLOGUE = `
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, ${JSON.stringify(FOLDER)})
from swp import *
def tell(value): print(json.dumps(value), flush=True)
port = int(sys.argv[1])
`;

async function start(t: TestContext, options: ServiceOptions = {}) {
  const noted: unknown[] = [];
  const routes = {
    echo: call(anything, anything, (value) => value),
    nothing: call(nothing, nothing, () => undefined),
    slow: call(nothing, nothing, (_, { signal }) => sleep(10_000, undefined, { signal })),
    ticks: serverStream(anything, anything, function* (count) {
      for (let n = 0; n < Number(count); n++) yield n;
    }),
    breaks: serverStream(nothing, anything, function* () {
      yield "one";
      throw new CallError("DATA_LOSS", "torn");
    }),
    sum: clientStream(anything, anything, async (numbers) => {
      let sum = 0;
      for await (const n of numbers) sum += Number(n);
      return sum;
    }),
    upper: duplex(anything, anything, async function* (lines) {
      for await (const line of lines) yield String(line).toUpperCase();
    }),
    note: notify(anything, (value) => void noted.push(value)),
    back: call(nothing, anything, async (_, { peer }) => {
      const refused: unknown = await peer.call("any", 1).catch((error: unknown) => error);
      return refused instanceof CallError ? refused.code : "taken";
    }),
  };
  const server = await serveFor(
    t,
    service(routes, { authorize: () => true, onError: () => undefined, ...options }),
  );
  return { server, noted };
}

/** Runs a script with the service's port; each line that it tells. */
async function run(t: TestContext, port: number, script: string): Promise<unknown[]> {
  const child = Child.start(t, "python3", ["-c", PROLOGUE + script, String(port)]);
  const { code } = await child.exit();
  assert.equal(code, 0, child.story());
  return child.stdoutLines.map((line) => JSON.parse(line));
}

test("calls, streams both ways, errors, deadlines, a ping", { skip }, async (t) => {
  const { server, noted } = await start(t);
  const told = await run(
    t,
    portOf(server),
    `
with Client("127.0.0.1", port) as client:
    tell(client.call("echo", {"grüße": [1, 2.5, None, "x"]}))
    tell(client.call("nothing"))
    tell(sum(client.stream("ticks", 1000)))
    up = client.upload("sum")
    for n in range(500): up.send(n)
    up.end()
    tell(up.receive())
    both = client.duplex("upper")
    for line in ["one", "two"]: both.send(line)
    both.end()
    tell(list(both))
    client.notify("note", "noted")
    client.ping()
    for wrong in [lambda: client.call("missing"), lambda: client.call("slow", timeout=0.1),
                  lambda: list(client.stream("breaks"))]:
        try: wrong()
        except Failure as error: tell([error.code, str(error), error.not_processed])
    early = client.stream("ticks", 10**9)
    tell(early.receive())
    early.cancel()
    tell(client.call("back"))
    tell(client.call("echo", b"\\x00bytes") == b"\\x00bytes")
    tell(client.call("echo", "x" * 900000) == "x" * 900000)
    tell(len(client.streams))
`,
  );
  await until(() => noted.length === 1, "the notification");
  // Who says so first, the client or the server, which is told the deadline, is up to the machine.
  const late = JSON.stringify(told[LATE]).replace("the deadline has passed", "no answer in time");
  told[LATE] = JSON.parse(late);
  assert.deepEqual(told, [
    { grüße: [1, 2.5, null, "x"] },
    null,
    499_500,
    124_750,
    ["ONE", "TWO"],
    [5, "no such route", true],
    [4, "no answer in time", false],
    [15, "torn", false],
    0,
    "REFUSED",
    true,
    true,
    // Cancelled ones are free again when the server has ended them too: at the latest with the next answer.
    0,
  ]);
});

test("many threads share one connection", { skip }, async (t) => {
  const { server } = await start(t);
  const told = await run(
    t,
    portOf(server),
    `
with Client("127.0.0.1", port) as client:
    right = []
    def work(name):
        for n in range(50):
            body = [name, n, "x" * (n * 500)]
            if client.call("echo", body) == body: right.append(1)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for one in threads: one.start()
    for one in threads: one.join()
    tell(len(right))
`,
  );
  assert.deepEqual(told, [400]);
});

test("subscribes and publishes; a token; GOAWAY", { skip }, async (t) => {
  const { server } = await start(t, {
    auth: [token((text) => (text === "secret" ? "me" : undefined))],
  });
  const child = Child.start(t, "python3", [
    "-c",
    `${PROLOGUE}
try: Client("127.0.0.1", port, token="wrong")
except GoneAway as error: tell(error.code)
client = Client("127.0.0.1", port, token="secret")
rooms = client.subscribe("room.*")
client.publish("room.7", {"n": 1})
client.publish("other.7", 0)
client.publish("room.8", {"n": 2})
tell([rooms.receive(), rooms.receive()])
for message in rooms: pass
`,
    String(portOf(server)),
  ]);
  await until(
    () => child.stdoutLines.length === 2,
    () => `both lines: ${child.story()}`,
  );
  assert.deepEqual(
    child.stdoutLines.map((line) => JSON.parse(line)),
    [
      69,
      [
        ["room.7", { n: 1 }],
        ["room.8", { n: 2 }],
      ],
    ],
  );
  await server.close({ drainMs: 1000 });
  // The subscription ended with an error: the script, which reads on, ends with it.
  await child.exit();
  assert.match(child.stderr, /the server is closing/);
});

test("the commands", { skip }, async (t) => {
  const { server } = await start(t);
  const at = `127.0.0.1:${portOf(server)}`;
  const command = (...args: string[]) =>
    Child.start(t, "python3", ["-B", `${FOLDER}/swp.py`, at, ...args]);
  const listening = command("sub", "room.>", "--count", "1");
  const called = command("call", "echo", '{"a":1}');
  assert.equal((await called.exit()).code, 0, called.story());
  assert.equal(called.stdout, '{"a": 1}\n');
  const failing = command("call", "missing");
  assert.equal((await failing.exit()).code, 1);
  assert.match(failing.stderr, /^swp\.py: no such route \(5\)$/m);
  const mistakes = [
    [
      [at, "call", "echo", "{bad"],
      /^swp\.py: error: the body is no JSON: Expecting property name/m,
    ],
    [[at, "call"], /^swp\.py: error: call takes the name of a route or topic$/m],
    [["localhost", "ping"], /^swp\.py: error: "localhost" is no HOST:PORT$/m],
    [["localhost:70000", "ping"], /^swp\.py: error: "localhost:70000" is no HOST:PORT$/m],
  ] as const;
  for (const [args, told] of mistakes) {
    const wrong = Child.start(t, "python3", ["-B", `${FOLDER}/swp.py`, ...args]);
    assert.equal((await wrong.exit()).code, 2);
    assert.match(wrong.stderr, told);
  }
  // Until it is subscribed nobody hears what is published.
  while (listening.ended === undefined) {
    const publishing = command("pub", "room.1.said", '"hello"');
    assert.equal((await publishing.exit()).code, 0, publishing.story());
  }
  assert.equal(listening.stdout, 'room.1.said "hello"\n');
});
