// sluice call, sub, pub and routes against a service.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything, bytes, nothing, text } from "../../src/protocol/schema.ts";
import { token } from "../../src/service/auth.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call, clientStream, notify, serverStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

async function start(t: TestContext, options: ServiceOptions = {}) {
  const noted: unknown[] = [];
  const table = service(
    {
      echo: call(anything, anything, (value) => value),
      upper: call(text, text, (line) => line.toUpperCase()),
      fails: call(anything, anything, () => {
        throw new CallError("ABORTED", "on purpose\nand more", { detail: [1] });
      }),
      ticks: serverStream(anything, anything, function* (count) {
        for (let n = 0; n < Number(count); n++) yield { n };
      }),
      silent: call(anything, nothing, () => undefined),
      note: notify(anything, (value) => void noted.push(value)),
      length: clientStream(bytes, z.number(), async (messages) => {
        let sum = 0;
        for await (const message of messages) sum += message.length;
        return sum;
      }),
    },
    {
      authorize: (_, action, name) => action === "call" || !name.startsWith("closed."),
      ...options,
    },
  );
  const at = `127.0.0.1:${portOf(await serveFor(t, table))}`;
  return { at, noted };
}

async function cli(t: TestContext, args: readonly string[], input?: string) {
  const child = Child.cli(t, ...args);
  if (input !== undefined) child.process.stdin?.end(input);
  const { code } = await child.exit();
  return { code, out: child.stdout, err: child.stderr };
}

type Result = Awaited<ReturnType<typeof cli>>;

async function inTurn(runs: readonly (() => Promise<Result>)[]): Promise<Result[]> {
  const results: Result[] = [];
  for (const run of runs) results.push(await run());
  return results;
}

test("call prints the answer, or why there is none", async (t) => {
  const { at, noted } = await start(t);
  // One after the other: each is a process, and ten at once are slow on a busy machine.
  const results = await inTurn([
    () => cli(t, ["call", at, "echo", '{"a":1}']),
    () => cli(t, ["call", at, "echo", "-"], "[1,2]"),
    () => cli(t, ["call", at, "upper", "a line", "--text"]),
    () => cli(t, ["call", at, "upper", "a line", "--text", "--json"]),
    () => cli(t, ["call", at, "ticks", "3", "--stream"]),
    () => cli(t, ["call", at, "note", "7", "--notify"]),
    () => cli(t, ["call", at, "fails"]),
    () => cli(t, ["call", at, "fails", "--json"]),
    () => cli(t, ["call", at, "missing"]),
    () => cli(t, ["call", at, "silent"]),
    () => cli(t, ["call", at, "silent", "--json"]),
    () => cli(t, ["call", at, "ticks", "3"]),
    () => cli(t, ["call", at, "echo", "{a:1}"]),
    () => cli(t, ["call", "unix:/no/such/socket", "echo"]),
  ]);
  await until(() => noted.length === 1, "the notification");
  assert.deepEqual(noted, [7]);
  assert.deepEqual(results, [
    { code: 0, out: '{"a":1}\n', err: "" },
    { code: 0, out: "[1,2]\n", err: "" },
    { code: 0, out: "A LINE\n", err: "" },
    { code: 0, out: '"A LINE"\n', err: "" },
    { code: 0, out: '{"n":0}\n{"n":1}\n{"n":2}\n', err: "" },
    { code: 0, out: "", err: "" },
    { code: 1, out: "", err: "sluice: ABORTED: on purpose\n" },
    {
      code: 1,
      out: '{"error":{"code":"ABORTED","message":"on purpose\\nand more","detail":[1]}}\n',
      err: "",
    },
    {
      code: 1,
      out: "",
      err: `sluice: NOT_FOUND: no such route\nsluice: those that there are: sluice routes ${at}\n`,
    },
    { code: 0, out: "", err: "" },
    { code: 0, out: "null\n", err: "" },
    {
      code: 1,
      out: "",
      err:
        "sluice: UNIMPLEMENTED: the route is of another kind\n" +
        "sluice: --stream is for a route that answers with a stream, --notify for one that does not answer; one that takes a stream needs a program\n",
    },
    {
      code: 2,
      out: "",
      err: "sluice: the body is no JSON (a string needs quotes: '\"text\"'); or use --text (sluice call --help)\n",
    },
    {
      code: 1,
      out: "",
      err: "sluice: UNAVAILABLE: connect to unix:/no/such/socket: no such file or directory (ENOENT)\n",
    },
  ]);
});

test("sub prints what pub publishes; a token is needed where it is", async (t) => {
  const secret = { auth: [token((given) => (given === "secret" ? "me" : undefined))] };
  const { at } = await start(t, secret);
  const as = ["--token", "secret"];
  const listening = Child.cli(t, "sub", at, "room.*", "hall.>", "--count", "2", "--json", ...as);
  const publish = async (topic: string) => {
    const published = await cli(t, ["pub", at, topic, '{"said":1}', ...as]);
    assert.deepEqual(published, { code: 0, out: "", err: "" });
  };
  // Until it has subscribed nobody hears.
  while (listening.stdoutLines.length < 1) await publish("room.1");
  await publish("hall.a.b");
  assert.deepEqual(await listening.exit(), { code: 0, signal: null });
  const topics = listening.stdoutLines.map((line) => JSON.parse(line));
  assert.deepEqual(topics[0], { topic: "room.1", body: { said: 1 } });
  const [refused, unknown, forbidden, wrong] = await inTurn([
    () => cli(t, ["routes", at]),
    () => cli(t, ["pub", at, "a..b", "1", ...as]),
    () => cli(t, ["sub", at, "closed.*", ...as]),
    () => cli(t, ["routes", at, "--deadline-ms", "soon"]),
  ]);
  assert.equal(refused?.code, 1);
  assert.match(refused?.err ?? "", /^sluice: UNAUTHENTICATED: refused: /);
  assert.equal(unknown?.code, 2);
  assert.equal(
    unknown?.err,
    'sluice: "a..b" is no topic: no token between dots may be empty (sluice pub --help)\n',
  );
  assert.equal(forbidden?.code, 1);
  assert.match(forbidden?.err ?? "", /^sluice: PERMISSION_DENIED/);
  assert.equal(wrong?.code, 2);
});

test("routes says what there is, of which kind, and what goes in and comes out", async (t) => {
  const { at } = await start(t);
  const [table, data, wrong] = await inTurn([
    () => cli(t, ["routes", at]),
    () => cli(t, ["routes", at, "--json"]),
    () => cli(t, ["routes", at, "--text"]),
  ]);
  assert.deepEqual(table?.out.split("\n"), [
    "ROUTE   KIND          INPUT     OUTPUT",
    "echo    call          anything  anything",
    "upper   call          text      text",
    "fails   call          anything  anything",
    "ticks   serverStream  anything  anything",
    "silent  call          anything  nothing",
    "note    notify        anything  nothing",
    "length  clientStream  bytes     value",
    "",
    "codecs: raw, json, utf8",
    "",
  ]);
  const { schema, agent, codecs, routes } = JSON.parse(data?.out ?? "");
  assert.equal(schema, "sluice-routes/1");
  assert.match(agent, /^sluice/);
  assert.deepEqual(codecs, ["raw", "json", "utf8"]);
  assert.equal(routes.length, 7);
  const length = { name: "length", kind: "clientStream", input: "bytes", output: "value" };
  assert.deepEqual(routes.at(-1), length);
  assert.equal(wrong?.code, 2);
  assert.match(wrong?.err ?? "", /^sluice: Unknown option '--text'/);
});
