// A key-value server that speaks RESP2, the protocol of Redis: redis-cli, redis-benchmark and ioredis talk to it.
//
//   npm run sluice -- serve examples/key-value.ts --port 6379 --model event-loop
//   redis-cli -p 6379 set greeting hello ex 60
//
// try: redis-cli -p {port} set greeting hello ex 60
//
// One thread holds the keys, as in Redis. The store does not cross threads: with several of them each would have keys
// of its own, and what a client finds would depend on the thread that it happened to be given. So it refuses to start with
// more than one.
//
// To read on: key-value/resp-codec.ts (bytes to commands), key-value/commands.ts (what each does), key-value/store.ts
// (where keys and values lie).

import { randomBytes } from "node:crypto";
import { handlers } from "../src/index.ts";
import type { Session } from "./key-value/command.ts";
import { execute } from "./key-value/commands.ts";
import type { Reply } from "./key-value/reply.ts";
import type { Request } from "./key-value/request.ts";
import { resp } from "./key-value/resp-codec.ts";
import { type Clock, Store } from "./key-value/store.ts";

const machine: Clock = {
  now: Date.now,
  after: (delayMs, run) => void setTimeout(run, delayMs).unref(),
};
const store = new Store(machine, randomBytes(4).readInt32LE());

export default handlers<Request, Reply, Session>({
  codec: resp(),
  // A command is looked at in place, and what is kept of it is copied.
  borrow: true,
  started({ threads }) {
    if (threads > 1)
      throw new Error("the keys live in one thread: start it with --model event-loop");
  },
  state: () => ({ name: "" }),
  message: (connection, request) => execute(request, connection, store),
});
