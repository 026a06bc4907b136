// Pub/sub over a line protocol, for tests: each command is one line, and each answer begins with what was asked.

import { threadId } from "node:worker_threads";
import { lines } from "../../../src/codec/lines.ts";
import { type Connection, handlers } from "../../../src/handlers.ts";

/** Connections of this thread that want to hear broadcasts. */
const listeners = new Set<Connection<string>>();

type Command = (connection: Connection<string>, argument: string, rest: string) => unknown;

const COMMANDS: Readonly<Record<string, Command>> = {
  thread: (connection) => `${connection.context.thread} ${threadId}`,
  sub: (connection, topic) => String(connection.subscribe(topic)),
  unsub: (connection, topic) => String(connection.unsubscribe(topic)),
  topics: (connection) => [...connection.subscriptions].join(" "),
  /** To everybody else. */
  pub: (connection, topic, text) => String(connection.publish(topic, text)),
  /** To everybody. */
  all: (connection, topic, text) => String(connection.context.publish(topic, text)),
  /** So many numbered messages, and how many of them did not reach every thread. */
  many(connection, topic, count) {
    let unreached = 0;
    for (let n = 0; n < Number(count); n++) {
      if (!connection.context.publish(topic, `${connection.context.thread}:${n}`)) unreached++;
    }
    return String(unreached);
  },
  /** So many messages of so many bytes. */
  large(connection, topic, bytes) {
    return String(connection.context.publish(topic, "x".repeat(Number(bytes))));
  },
  listen(connection) {
    listeners.add(connection);
    return "yes";
  },
  tell: (connection, text) => String(connection.context.broadcast({ text, at: new Date(0) })),
  /** The thread does nothing else for so long. */
  block(_connection, ms) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(ms));
    return "done";
  },
  count: (connection, name, by) => connection.context.counter(name).add(Number(by)),
  async set(connection, key, value) {
    try {
      await connection.context.map("test").set(key, value);
      return "set";
    } catch (error) {
      return `refused ${(error as { code?: string }).code}`;
    }
  },
  get: (connection, key) => connection.context.map("test").get(key),
  delete: (connection, key) => connection.context.map("test").delete(key),
  async increment(connection, key, times) {
    const map = connection.context.map<number>("test");
    let sum: number | undefined = 0;
    for (let n = 0; n < Number(times); n++) sum = await map.update(key, (value = 0) => value + 1);
    return sum;
  },
  exit: () => process.exit(3),
  /** Does nothing else for so long, and is gone without having looked up. */
  doom(connection, ms) {
    COMMANDS.block?.(connection, ms, "");
    process.exit(3);
  },
};

export default handlers<string, string>({
  codec: lines({ maximumBytes: 1024 * 1024 }),
  async message(connection, line) {
    const [name = "", argument = "", ...rest] = line.split(" ");
    const command = COMMANDS[name];
    if (command === undefined) throw new Error(`there is no command ${name}`);
    connection.send(`${name} ${await command(connection, argument, rest.join(" "))}`);
  },
  broadcast(context, data) {
    const { text, at } = data as { text: string; at: Date };
    for (const listener of listeners)
      listener.send(`told ${context.thread} ${text} ${at.getTime()}`);
  },
  closed: (connection) => void listeners.delete(connection),
});
