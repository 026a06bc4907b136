// Executes requests and acknowledges each after a while. What was executed stands in the ledger, a file, before the
// answer is sent. "hang" is never done; "die" ends its thread.

import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { lines } from "../../../src/codec/lines.ts";
import { type Connection, handlers, heavy } from "../../../src/handlers.ts";

const ledger = process.env.LEDGER ?? "/dev/null";

/** Long enough that an answer can be cut in the middle. */
export const FILLER = ".".repeat(2000);

export default handlers<string, string, unknown, string, string>({
  codec: lines(),
  message(connection, line) {
    if (line === "hang") return new Promise<void>(() => undefined);
    // One in ten, which hybrid computes in another thread.
    return line.endsWith("0") ? heavy(line) : answer(connection, line);
  },
  compute: execute,
  computed: (connection, result) => void connection.send(result),
});

async function answer(connection: Connection<string>, line: string): Promise<void> {
  connection.send(await execute(line));
}

async function execute(line: string): Promise<string> {
  await sleep(Math.random() * 8);
  appendFileSync(ledger, `${line}\n`);
  return `${line} ${FILLER}`;
}
