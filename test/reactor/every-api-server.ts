// A server whose handlers use the rest of Node from the very thread that the reactor waits in. A line `do <task>` runs one
// and is answered with its outcome; every other line is echoed. In a process of its own, so that a thread that is
// starved fails a test instead of hanging it. Arguments: the driver, and "catch" to catch what nobody else does.

import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextImmediate, setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { lines } from "../../src/codec/lines.ts";
import { handlers } from "../../src/handlers.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";

const driver = process.argv[2] as NonNullable<ServeOptions["driver"]>;
const store = new AsyncLocalStorage<string>();
let caught = 0;
if (process.argv[3] === "catch") {
  process.on("uncaughtException", (error) => {
    caught++;
    console.log(`caught ${error.message}`);
  });
}

/** Runs in the handler's own call up to its first await. The answer says what happened, for the test to judge. */
const TASKS: Readonly<Record<string, (argument: string) => unknown>> = {
  async "nextTick and promises"() {
    const order: string[] = [];
    const ticked = new Promise<void>((resolve) => {
      process.nextTick(() => {
        order.push("tick");
        Promise.resolve()
          .then(() => order.push("promise in tick"))
          .then(() => process.nextTick(resolve));
      });
    });
    queueMicrotask(() => order.push("microtask"));
    order.push("call");
    await ticked;
    for (let n = 0; n < 1000; n++) await undefined;
    return order.join(", ");
  },

  async setTimeout() {
    const start = performance.now();
    for (let n = 0; n < 5; n++) await sleep(20);
    return performance.now() - start;
  },

  async setInterval() {
    const start = performance.now();
    await new Promise<void>((resolve) => {
      let times = 0;
      const interval = setInterval(() => {
        if (++times < 5) return;
        clearInterval(interval);
        resolve();
      }, 20);
    });
    return performance.now() - start;
  },

  async setImmediate() {
    const start = performance.now();
    for (let n = 0; n < 50; n++) await nextImmediate();
    return performance.now() - start;
  },

  /** An immediate that is always there: libuv has work for ever. */
  async spin() {
    const end = performance.now() + 400;
    let rounds = 0;
    while (performance.now() < end) {
      await nextImmediate();
      rounds++;
    }
    return rounds;
  },

  async fetch() {
    const http = createServer((request, response) => {
      request.setEncoding("utf8");
      let body = "";
      request.on("data", (text: string) => {
        body += text;
      });
      request.on("end", () => response.end(body.toUpperCase()));
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const address = http.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const body = "from a handler ".repeat(10_000);
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body });
    const right = (await answer.text()) === body.toUpperCase();
    http.close();
    http.closeAllConnections();
    return `${answer.status} ${right}`;
  },

  async messages() {
    const code =
      "import { parentPort } from 'node:worker_threads';" +
      "parentPort.on('message', (value) => parentPort.postMessage(value + 1));";
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = ({ data }) => port2.postMessage(data + 1);
    const next = (from: "worker" | "port") =>
      new Promise<number>((resolve) => {
        if (from === "worker") worker.once("message", resolve);
        else port1.onmessage = ({ data }) => resolve(data);
      });
    let value = 0;
    for (let n = 0; n < 25; n++) {
      const fromWorker = next("worker");
      worker.postMessage(value);
      value = await fromWorker;
      const fromPort = next("port");
      port1.postMessage(value);
      value = await fromPort;
    }
    port1.close();
    return `${value} ${await worker.terminate()}`;
  },

  /** Ports younger than the server's own, to which a timer, an immediate and a tick post while the reactor is about to wait. */
  async "own ports"() {
    const start = performance.now();
    const posters = [
      (post: () => void) => void setTimeout(post, 5),
      (post: () => void) => void setImmediate(post),
      (post: () => void) => process.nextTick(post),
    ];
    for (let n = 0; n < 9; n++) {
      const { port1, port2 } = new MessageChannel();
      await new Promise<void>((resolve) => {
        port2.onmessage = () => resolve();
        posters[n % posters.length]?.(() => port1.postMessage(n));
      });
      port1.close();
    }
    return performance.now() - start;
  },

  async files() {
    const folder = await mkdtemp(join(tmpdir(), "sluice-"));
    const file = join(folder, "file");
    await writeFile(file, "written in a handler");
    const text = await readFile(file, "utf8");
    await rm(folder, { recursive: true });
    return text;
  },

  /** Keeps its store over everything that can be awaited here, while others have theirs. */
  store: (name) =>
    store.run(name, async () => {
      const seen = [store.getStore()];
      const look = () => seen.push(store.getStore());
      await undefined;
      look();
      await sleep(5);
      look();
      await nextImmediate();
      look();
      await new Promise<void>((resolve) => process.nextTick(resolve));
      look();
      await readFile(new URL(import.meta.url));
      look();
      return seen.join(" ");
    }),

  /** What a call outside of every store sees: nothing leaks from one handler into the next. */
  "no store": () => String(store.getStore()),

  exit() {
    process.on("exit", (code) => console.log(`ending with ${code}`));
    process.exit(7);
  },

  /** Each from another place of the thread, and each caught by nobody. */
  throw(where) {
    const thrower = () => {
      throw new Error(`thrown in ${where}`);
    };
    if (where === "timer") setTimeout(thrower, 1);
    else if (where === "immediate") setImmediate(thrower);
    else if (where === "tick") process.nextTick(thrower);
    else if (where === "microtask") queueMicrotask(thrower);
    else if (where === "promise") void Promise.resolve().then(thrower);
    else void sleep(1).then(thrower);
    return where;
  },

  caught: () => caught,
};

async function perform(line: string, answer: (text: string) => void): Promise<void> {
  const [task = "", argument = ""] = line.split(": ");
  const outcome = await TASKS[task]?.(argument);
  answer(`done ${task}: ${String(outcome)}`);
}

const server = await serve({
  ...handlers({
    codec: lines(),
    message(connection, line) {
      if (!line.startsWith("do ")) return void connection.send(line);
      return perform(line.slice(3), (answer) => connection.send(answer));
    },
  }),
  driver,
  onError: (error) => console.log(`handler failed: ${String(error)}`),
});

process.on("message", () => process.send?.(server.statistics()));
if (server.address.family !== "unix") console.log(`port ${server.address.port}`);
