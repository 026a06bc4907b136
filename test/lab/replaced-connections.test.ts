// Connections that an HTTP server ends between two answers, with a word (Connection: close) or without: another one takes the
// place, and what was out is asked again, once. A real nginx does both.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { programVersion } from "../../src/lab/contender.ts";
import { StartedServer } from "../../src/lab/started-server.ts";
import { errorCodes, load, onlyStage } from "./load.ts";

const REQUEST_END = "\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST = OK.replace("\r\n", "\r\nConnection: close\r\n");

/** Requests of this connection by now, this one with them, and connections by now. */
type Answer = (socket: Socket, requests: number, connections: number) => void;

/** Tells of each request as it is complete, until the connection is ended. */
async function scripted(t: TestContext, answer: Answer) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const connections = sockets.size;
    let requests = 0;
    let text = "";
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      const whole = text.split(REQUEST_END);
      text = whole.pop() ?? "";
      for (const _request of whole) {
        if (!socket.writable) return;
        answer(socket, ++requests, connections);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    address: { family: "ipv4", host: "127.0.0.1", port: address.port } as const,
    connections: () => sockets.size,
  };
}

const http = { workload: "http" } as const;
/** So many that some connections must have been replaced. */
const ENOUGH = 100;
const ATTEMPTS = 20;

/** A load with enough messages: a machine that does other things lets few through, and is asked again. */
async function busyLoad(...[target, options]: Parameters<typeof load>) {
  for (let attempt = 1; ; attempt++) {
    const result = await load(target, options);
    const failed = errorCodes(result).length > 0;
    if (failed || onlyStage(result).messages >= ENOUGH || attempt === ATTEMPTS) return result;
  }
}

describe("a connection that an HTTP server closes without a word", { concurrency: 4 }, () => {
  const ways: Readonly<Record<string, Answer>> = {
    "behind an answer": (socket, requests) => {
      if (requests < 5) socket.write(OK);
      else socket.end(OK);
    },
    "when the next request comes": (socket, requests) => {
      if (requests <= 5) socket.write(OK);
      else socket.end();
    },
    "with a reset": (socket, requests) => {
      if (requests <= 5) socket.write(OK);
      else socket.resetAndDestroy();
    },
  };
  for (const [when, answer] of Object.entries(ways)) {
    test(`${when}: is replaced`, async (t) => {
      const target = await scripted(t, answer);
      const result = await busyLoad(target, http);
      assert.deepEqual(errorCodes(result), []);
      const { messages, replaced, connections } = onlyStage(result);
      assert.equal(connections, 2);
      assert.ok(replaced > 0);
      assert.ok(
        Math.abs(messages / 5 - replaced) <= 3,
        `${messages} answers, ${replaced} replaced`,
      );
    });
  }

  test("again before it has answered anything: is an error", async (t) => {
    const target = await scripted(t, (socket, requests, connections) => {
      if (connections === 1 && requests <= 5) socket.write(OK);
      else socket.end();
    });
    const result = await load(target, { ...http, connections: 1 });
    assert.deepEqual(errorCodes(result), ["1 × END_OF_STREAM"]);
    assert.equal(target.connections(), 2);
  });

  test("with a request that has been sent again before: is an error", async (t) => {
    // Of those in flight one is answered, and the last of the others would have to be sent a third time.
    const target = await scripted(t, (socket, requests) => {
      if (requests === 3) socket.end(OK);
    });
    const result = await load(target, { ...http, connections: 1, depth: 4 });
    const [error] = onlyStage(result).errors;
    assert.match(error?.code ?? "", /^(END_OF_STREAM|ECONNRESET|EPIPE)$/);
    assert.equal(target.connections(), 2);
  });

  test("within an answer: is an error", async (t) => {
    const target = await scripted(t, (socket, requests) => {
      if (requests < 5) socket.write(OK);
      else socket.end(OK.slice(0, 10));
    });
    const result = await load(target, http);
    assert.deepEqual(errorCodes(result), ["2 × END_OF_STREAM"]);
    assert.equal(target.connections(), 2);
  });

  test("while it was held in silence: is an error", async (t) => {
    const target = await scripted(t, (socket) => {
      socket.write(OK);
      setTimeout(() => socket.end(), 100);
    });
    const result = await load(target, { ...http, mode: "idle", connections: 0, idle: 2 });
    assert.deepEqual(errorCodes(result), ["2 × END_OF_STREAM"]);
  });
});

test("a message that is sent again counts as sent once", async (t) => {
  const target = await scripted(t, async (socket, requests) => {
    await sleep(30);
    if (requests < 5) socket.write(OK);
    else if (requests === 5) socket.end(LAST);
  });
  const options = { ...http, connections: 1, rate: 400, durationMs: 500 };
  const result = await load(target, options);
  assert.deepEqual(errorCodes(result), []);
  const { messages, sentPerSecond, seconds, replaced } = onlyStage(result);
  assert.equal(messages, 200);
  assert.ok(replaced > 0);
  assert.ok(sentPerSecond * seconds < 200.5, `${sentPerSecond * seconds} of 200 sent`);
});

const nginx = programVersion("nginx", "-v");

describe("nginx", { skip: nginx === undefined ? "nginx is not installed" : false }, () => {
  async function started(t: TestContext, settings: string) {
    const folder = mkdtempSync(join(tmpdir(), "sluice-nginx-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder};`)
      .join(" ");
    const site = "server { listen 127.0.0.1:PORT; location / { return 200 ok; } }";
    const config = `daemon off; pid ${folder}/pid; error_log stderr; events { } http { access_log off; ${paths} ${settings} ${site} }`;
    const template = join(folder, "template.conf");
    writeFileSync(template, config);
    const start = `sed "s/PORT/$1/" ${template} > ${folder}/nginx.conf && exec nginx -e stderr -c ${folder}/nginx.conf`;
    // A word of its own, so that the braces of the configuration stay what they are.
    const server = await StartedServer.start({ command: ["sh", "-c", start, "sh", "{port}"] });
    t.after(() => server.stop());
    return server;
  }

  test("ends connections after keepalive_requests: they are replaced", async (t) => {
    const server = await started(t, "keepalive_requests 20;");
    for (const depth of [1, 4]) {
      const result = await busyLoad(server, { ...http, depth });
      assert.deepEqual(errorCodes(result), []);
      const { messages, replaced } = onlyStage(result);
      assert.ok(replaced > 0);
      assert.ok(
        Math.abs(messages / 20 - replaced) <= 3,
        `${messages} answers, ${replaced} replaced`,
      );
    }
  });

  test("ends connections that are idle for keepalive_timeout: they are replaced", async (t) => {
    const server = await started(t, "keepalive_timeout 40ms;");
    // Each is idle for 200 ms before its next request.
    const result = await load(server, { ...http, rate: 10, durationMs: 1000 });
    assert.deepEqual(errorCodes(result), []);
    const { messages, replaced } = onlyStage(result);
    assert.equal(messages, 10);
    assert.ok(replaced >= 5, `${replaced} replaced`);
  });
});
