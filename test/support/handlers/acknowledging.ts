// Executes requests and acknowledges each after a while. What was executed stands in the ledger, a file, before the
// answer is sent. "hang" is never done; "die" ends its thread.

import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { lines } from "../../../src/codec/lines.ts";
import { handlers } from "../../../src/handlers.ts";

const ledger = process.env.LEDGER ?? "/dev/null";

/** Long enough that an answer can be cut in the middle. */
export const FILLER = ".".repeat(2000);

export default handlers<string, string>({
  codec: lines(),
  async message(connection, line) {
    if (line === "hang") await new Promise<void>(() => undefined);
    await sleep(Math.random() * 8);
    appendFileSync(ledger, `${line}\n`);
    connection.send(`${line} ${FILLER}`);
  },
});
