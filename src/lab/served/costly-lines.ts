// The handler of the experiments: answers each line with itself, after as much CPU work as the environment says.
//
// SLUICE_LAB_STEPS: steps of the work (work.ts) for each line; or, with SLUICE_LAB_HEAVY_BYTES, only for lines of at least so
// many bytes. Work of SLUICE_LAB_HEAVY_STEPS and more is marked heavy: the model hybrid then computes it in a thread of its own.

import { lines } from "../../codec/lines.ts";
import { handlers, heavy } from "../../handlers.ts";
import { work } from "./work.ts";

const STEPS = Number(process.env.SLUICE_LAB_STEPS ?? 0);
const HEAVY_STEPS = Number(process.env.SLUICE_LAB_HEAVY_STEPS ?? Number.POSITIVE_INFINITY);
const HEAVY_BYTES = Number(process.env.SLUICE_LAB_HEAVY_BYTES ?? 0);

export default handlers({
  codec: lines({ maximumBytes: 65_536 }),
  message(connection, line) {
    if (STEPS > 0 && line.length >= HEAVY_BYTES) {
      if (STEPS >= HEAVY_STEPS) return heavy(line);
      work(STEPS);
    }
    connection.send(line);
    return undefined;
  },
  compute(line: string) {
    work(STEPS);
    return line;
  },
  computed(connection, line: string) {
    connection.send(line);
  },
});
