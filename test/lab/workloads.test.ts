// The workloads: what they say is understood by real servers, and answers are told apart wherever they are cut.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Random } from "../../src/driver/random.ts";
import { parseSizes } from "../../src/lab/sizes.ts";
import { type WorkloadName, workloadKind } from "../../src/lab/workloads/choose-workload.ts";
import type { Workload, WorkloadContext } from "../../src/lab/workloads/workload.ts";
import { serve } from "../../src/server/serve.ts";
import { bytes, call, service } from "../../src/service/service.ts";
import { knownTarget } from "./known-targets.ts";
import { errorCodes, load, onlyStage } from "./load.ts";

const reports: string[] = [];
/** For a run that an error ends. */
const ENDLESS = { durationMs: 60_000 };
const CONTEXT: WorkloadContext = {
  sizes: parseSizes("1-300"),
  verify: true,
  random: new Random(5),
  host: "h",
  path: "/",
  connections: 1,
  scenario: undefined,
  report: (code) => reports.push(code),
};

async function made(name: WorkloadName, context: Partial<WorkloadContext> = {}) {
  const workload = await workloadKind(name).make({ ...CONTEXT, ...context });
  const output = Buffer.alloc(workload.outputBytes);
  workload.attach(output);
  return { workload, output };
}

/** How many answers are seen when `bytes` come in pieces of this size. */
function answersIn(workload: Workload, session: unknown, bytes: Buffer, size: number): number {
  let answers = 0;
  for (let at = 0; at < bytes.length; at += size) {
    answers += workload.received(session, bytes, at, Math.min(size, bytes.length - at));
  }
  return answers;
}

describe("answers are the same however they are cut", () => {
  for (const name of ["echo", "lines", "length-prefix"] as const) {
    for (const verify of [true, false]) {
      test(`${name}, ${verify ? "compared" : "counted"}`, async () => {
        const { workload, output } = await made(name, { verify });
        for (const size of [1, 2, 3, 7, 64, 1000, 100_000]) {
          const session = workload.session(size);
          let sent = 0;
          const pieces: Buffer[] = [];
          while (sent < 1500) {
            sent += workload.compose(session, 100);
            const { offset, length } = workload.batch;
            pieces.push(Buffer.from(output.subarray(offset, offset + length)));
          }
          const bytes = Buffer.concat(pieces);
          assert.equal(answersIn(workload, session, bytes, size), sent, `pieces of ${size}`);
        }
      });
    }
  }

  test("http, with heads that repeat, bodies in chunks and none", async () => {
    const { workload } = await made("http");
    const plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const chunked =
      "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: 1\r\n\r\n";
    const empty = "HTTP/1.1 204 No Content\r\n\r\n";
    const bytes = Buffer.from(plain + plain + chunked + empty + plain + chunked);
    for (let size = 1; size <= bytes.length; size++) {
      reports.length = 0;
      assert.equal(answersIn(workload, workload.session(0), bytes, size), 6, `pieces of ${size}`);
      assert.deepEqual(reports, ["HTTP_404", "HTTP_404"]);
    }
  });

  test("resp, with errors and nothing in between", async () => {
    const { workload, output } = await made("resp", { random: new Random(9) });
    for (const size of [1, 2, 3, 5, 17, 100_000]) {
      reports.length = 0;
      const session = workload.session(0);
      const answers: string[] = [];
      for (let n = 0; n < 300; n++) {
        workload.compose(session, 1);
        const { offset, length } = workload.batch;
        answers.push(redisAnswer(output.toString("latin1", offset, offset + length), n));
      }
      assert.equal(answersIn(workload, session, Buffer.from(answers.join("")), size), 300);
      assert.equal(reports.length, 300 / 10);
    }
  });
});

/** A server that has not been set anything yet, and has no memory every tenth time. */
function redisAnswer(request: string, n: number): string {
  if (n % 10 === 0) return "-OOM command not allowed\r\n";
  if (request.includes("GET")) return "$-1\r\n";
  return request.includes("SET") ? "+OK\r\n" : "+PONG\r\n";
}

test("resp does not take one answer for another", async () => {
  const { workload, output } = await made("resp");
  const session = workload.session(0);
  workload.compose(session, 1);
  const { offset, length } = workload.batch;
  const wrong = output.toString("latin1", offset, offset + length).includes("PING") ? "OK" : "PONG";
  const bytes = Buffer.from(`+${wrong}\r\n`);
  assert.throws(() => workload.received(session, bytes, 0, bytes.length), /was not asked for/);
});

test("resp: only a GET may bring nothing", async () => {
  const { workload, output } = await made("resp");
  const session = workload.session(0);
  const nothing = Buffer.from("$-1\r\n");
  for (let n = 0; n < 100; n++) {
    workload.compose(session, 1);
    const { offset, length } = workload.batch;
    const request = output.toString("latin1", offset, offset + length);
    if (request.includes("GET")) {
      assert.equal(workload.received(session, nothing, 0, nothing.length), 1);
      continue;
    }
    assert.throws(() => workload.received(session, nothing, 0, nothing.length), /not asked for/);
    return;
  }
  assert.fail("no other request than GET");
});

describe("real servers understand", { concurrency: 4 }, () => {
  test("resp: the key-value example, every answer checked", async (t) => {
    const module = new URL("../../examples/key-value.ts", import.meta.url);
    const server = await serve(module, { threads: 1, model: "event-loop" });
    t.after(() => server.close());
    const result = await load(server, {
      workload: "resp",
      depth: 8,
      size: "1-2000",
      durationMs: 1000,
    });
    assert.deepEqual(errorCodes(result), []);
    assert.ok(onlyStage(result).messages > 0);
  });

  for (const workload of ["swp", "swp-publish"] as const) {
    test(`${workload}: a service`, async (t) => {
      const routes = { echo: call(bytes, bytes, (body) => body) };
      const table = service(routes, { authorize: (_context, _action, name) => name !== "secret" });
      const server = await serve({ ...table, model: "event-loop" });
      t.after(() => server.close());
      const result = await load(server, { workload, depth: 8, size: "1-2000", durationMs: 1000 });
      assert.deepEqual(errorCodes(result), []);
      assert.ok(onlyStage(result).messages > 0);
    });
  }

  test("swp: calls that overtake others have times of their own", async (t) => {
    let called = 0;
    const echo = call(bytes, bytes, async (body) => {
      // One is slow, and the others do not wait for it.
      if (++called === 40) await sleep(2000);
      return body;
    });
    const server = await serve({ ...service({ echo }), model: "event-loop" });
    t.after(() => server.close());
    const slow = { workload: "swp", rate: 200, connections: 1, durationMs: 800 } as const;
    const { errors, messages, response } = onlyStage(await load(server, slow));
    assert.deepEqual(errors, []);
    assert.equal(messages, 160);
    // In the order of the calls, the slow answer would have been taken for a later one's.
    const long = response.histogram.filter(([us]) => us > 1_900_000);
    assert.deepEqual(
      long.map(([, count]) => count),
      [1],
    );
  });

  test("swp: a target that speaks something else", async (t) => {
    const target = await knownTarget(t, "echo");
    const result = await load(target, { workload: "swp", durationMs: 60_000 });
    assert.deepEqual(errorCodes(result), ["2 × WRONG_CONTENT"]);
  });

  test("swp-publish: who may not is told", async (t) => {
    const server = await serve({ ...service({}), model: "event-loop" });
    t.after(() => server.close());
    const result = await load(server, { workload: "swp-publish", durationMs: 1000 });
    const [error] = onlyStage(result).errors;
    assert.equal(error?.code, "ERROR_ANSWER");
    assert.match(error?.text ?? "", /PERMISSION_DENIED/);
  });

  test("http: node:http", async (t) => {
    const address = await httpServer(t, (request, response) => {
      if (request.url === "/chunked") response.write("some");
      response.end("more");
    });
    for (const path of ["/", "/chunked"]) {
      const result = await load({ address }, { workload: "http", path, durationMs: 1000 });
      assert.deepEqual(errorCodes(result), []);
      assert.ok(onlyStage(result).messages > 0);
    }
  });

  test("http: an error of the server's is an error", async (t) => {
    const address = await httpServer(t, (_request, response) => {
      response.statusCode = 503;
      response.end();
    });
    const result = await load({ address }, { workload: "http", durationMs: 1000 });
    const [error] = onlyStage(result).errors;
    assert.equal(error?.code, "HTTP_503");
    assert.equal(result.ok, false);
  });

  for (const workload of ["lines", "length-prefix"] as const) {
    test(`${workload}: an echo, with large messages`, async (t) => {
      const target = await knownTarget(t, "echo");
      const options = { workload, size: "1-100000", durationMs: 200, verify: true };
      assert.deepEqual(errorCodes(await load(target, options)), []);
      assert.deepEqual(errorCodes(await load(target, { ...options, verify: false })), []);
    });
  }

  for (const depth of [1, 4]) {
    test(`http: connections that a server ends in order are replaced, ${depth} in flight`, async (t) => {
      const served = new WeakMap<object, number>();
      const target = await httpServer(t, ({ socket }, response) => {
        const count = (served.get(socket) ?? 0) + 1;
        served.set(socket, count);
        if (count === 5) response.setHeader("Connection", "close");
        response.end("ok");
      });
      const result = await load({ address: target }, { workload: "http", depth });
      assert.deepEqual(errorCodes(result), []);
      const { messages, replaced, connections } = onlyStage(result);
      assert.equal(connections, 2, "as many as were asked for");
      // Warm-up and cool-down are not in the window, but each connection has five answers.
      assert.ok(
        Math.abs(messages / 5 - replaced) <= 3,
        `${messages} answers, ${replaced} replaced`,
      );
      // Who closes himself replaces none.
      const churning = await load({ address: target }, { workload: "http", mode: "churn" });
      assert.deepEqual([errorCodes(churning), onlyStage(churning).replaced], [[], 0]);
    });
  }

  test("http: its answers are known for what they are", async (t) => {
    const target = await httpServer(t, (_request, response) => response.end("ok"));
    const result = await load({ address: target });
    assert.deepEqual(errorCodes(result), ["2 × WRONG_CONTENT"]);
    const [error] = onlyStage(result).errors;
    assert.match(
      error?.text ?? "",
      /^"HTTP\/1\.1 400 .*" came instead of an echo: an HTTP server takes --workload http$/,
    );
  });
});

describe("a scenario", () => {
  const codec = new URL("../../src/codec/lines.ts", import.meta.url).href;

  function scenarioFile(t: TestContext, text: string): URL {
    const folder = mkdtempSync(join(tmpdir(), "sluice-scenario-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "scenario.ts");
    writeFileSync(file, `import { lines } from ${JSON.stringify(codec)};\n${text}`);
    return pathToFileURL(file);
  }

  test("says what it likes, and judges the answers", async (t) => {
    const scenario = scenarioFile(
      t,
      `export default {
        codec: lines(),
        state: (random) => ({ name: Math.floor(random() * 1e9), asked: 0, answered: 0 }),
        request: (state) => state.name + " " + state.asked++,
        answer: (state, line) =>
          line !== state.name + " " + state.answered++ || state.answered === 5 ? "FIFTH" : undefined,
      };`,
    );
    const target = await knownTarget(t, "echo");
    const result = await load(target, { workload: "scenario", scenario, depth: 4 });
    // One a connection.
    assert.deepEqual(errorCodes(result), ["2 × FIFTH"]);
    assert.ok(onlyStage(result).messages > 0);
  });

  test("that throws ends the run with its error", async (t) => {
    const text = `let asked = 0;
      export default {
        codec: lines(),
        request: () => { if (asked++ > 50) throw new Error("no more words"); return "word"; },
      };`;
    const target = await knownTarget(t, "echo");
    const options = {
      workload: "scenario",
      scenario: scenarioFile(t, text),
      threads: 2,
      ...ENDLESS,
    } as const;
    await assert.rejects(load(target, options), {
      name: "OptionError",
      message: /scenario\.ts threw in request: no more words \(line 5\)$/,
    });
    const bad = 'export default { codec: lines(), request: () => "a", answer: () => null.a };';
    const judging = { workload: "scenario", scenario: scenarioFile(t, bad), ...ENDLESS } as const;
    await assert.rejects(load(target, judging), /scenario\.ts threw in answer: .* \(line 2\)$/);
  });

  test("that cannot be loaded is named", async (t) => {
    const target = await knownTarget(t, "echo");
    const says = [
      ["export default {{", /scenario\.ts cannot be loaded: /],
      ['import "no-such-package"; export default 1;', /cannot be loaded: Cannot find package 'no-/],
      ["throw new Error('at once');", /scenario\.ts cannot be loaded: at once \(line 2\)$/],
    ] as const;
    for (const [text, message] of says) {
      const scenario = scenarioFile(t, text);
      await assert.rejects(load(target, { workload: "scenario", scenario }), {
        name: "OptionError",
        message,
      });
    }
  });

  test("that is none is refused", async (t) => {
    const scenario = scenarioFile(t, "export default { codec: lines() };");
    const target = await knownTarget(t, "echo");
    await assert.rejects(load(target, { workload: "scenario", scenario }), {
      name: "OptionError",
      message: /scenario\.ts must export a scenario by default: \{ codec, request, … \}/,
    });
  });
});

async function httpServer(t: TestContext, answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { family: "ipv4", host: "127.0.0.1", port } as const;
}
