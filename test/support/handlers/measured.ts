// Answers each line with itself, SLUICE_TEST_WAIT_MS later, or after SLUICE_TEST_STEPS of CPU work (work.ts): servers that differ by
// an amount which is known.

import { setTimeout as sleep } from "node:timers/promises";
import { lines } from "../../../src/codec/lines.ts";
import { handlers } from "../../../src/handlers.ts";
import { work } from "../../../src/lab/served/work.ts";

const WAIT_MS = Number(process.env.SLUICE_TEST_WAIT_MS ?? 0);
const STEPS = Number(process.env.SLUICE_TEST_STEPS ?? 0);

export default handlers<string, string>({
  codec: lines(),
  async message(connection, line) {
    if (STEPS > 0) work(STEPS);
    if (WAIT_MS > 0) await sleep(WAIT_MS);
    connection.send(line);
  },
});
