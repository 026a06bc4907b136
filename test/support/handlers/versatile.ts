// Does, on request, everything that a handler may do: one line, one command. What happens to its connections it tells on the
// BroadcastChannel that its URL names (?channel=…), since under most models it runs in other threads than the test.

import { appendFileSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BroadcastChannel, threadId } from "node:worker_threads";
import { lines } from "../../../src/codec/lines.ts";
import { type Connection, handlers, heavy } from "../../../src/handlers.ts";

/** The end of a connection; `port` is its client's. */
export interface Told {
  readonly port: number;
  readonly thread: number;
  readonly reason: string;
}

const channel = new BroadcastChannel(
  new URL(import.meta.url).searchParams.get("channel") ?? "versatile",
);
channel.unref();

/** `heavy told,FILE` computes until somebody else writes this to the file. */
export const ENOUGH = "enough\n";

/** A chunk of what `stream` sends; its line says which it is. */
export function chunk(index: number): string {
  return `${index}:${"x".repeat(65_000)}\n`;
}

async function stream(connection: Connection<string, number>, chunks: number): Promise<void> {
  for (let index = 0; index < chunks; index++) {
    if (!connection.write(chunk(index))) await connection.drained();
  }
}

export default handlers<string, string, number>({
  codec: lines({ maximumBytes: 65_536 }),
  state: () => 0,
  opened(connection) {
    const { remoteAddress } = connection;
    if (remoteAddress !== undefined && remoteAddress.family !== "unix") {
      connection.state = remoteAddress.port;
    }
  },
  message(connection, line) {
    const [command = "", argument = ""] = line.split(" ", 2);
    if (command === "wait") {
      return sleep(Number(argument)).then(() => void connection.send(line));
    }
    if (command === "stream") return stream(connection, Number(argument));
    if (command === "throw") throw new Error("as asked");
    if (command === "reject") return Promise.reject(new Error("as asked"));
    if (command === "heavy") return heavy(argument);
    if (command === "die") {
      setTimeout(() => {
        throw new Error("thrown where nobody can catch it");
      }, 0);
      return undefined;
    }
    if (command === "reset") return connection.reset();
    if (command === "flood") {
      // Without a look at what `write` says.
      while (connection.open) connection.write(chunk(0));
      return undefined;
    }
    connection.send(line);
    if (command === "bye") {
      connection.write("x".repeat(100_000));
      connection.close();
    }
    if (command === "end") connection.end();
    return undefined;
  },
  async compute(task: string, signal) {
    const [what = "", file = ""] = task.split(",");
    if (what === "throw") throw new Error("as asked");
    if (what === "exit") process.exit(4);
    while (what === "loop");
    if (what === "async") await sleep(60_000, undefined, { signal });
    // A computation that looks up now and then; the file says that it has begun, and how it ended.
    if (file !== "") appendFileSync(file, "begun\n");
    const until = performance.now() + (what === "told" ? Number.POSITIVE_INFINITY : Number(what));
    const done = () => what === "told" && readFileSync(file, "utf8").includes(ENOUGH);
    while (performance.now() < until && !signal.aborted && !done());
    if (file !== "") appendFileSync(file, signal.aborted ? "aborted\n" : "done\n");
    return { task, thread: threadId };
  },
  computed(connection, { task, thread }: { task: string; thread: number }) {
    connection.send(`heavy ${task}${thread === threadId ? "" : " elsewhere"}`);
  },
  refused: (connection, task) => void connection.send(`refused ${task}`),
  closed({ state: port }, reason) {
    channel.postMessage({ port, thread: threadId, reason } satisfies Told);
  },
});
