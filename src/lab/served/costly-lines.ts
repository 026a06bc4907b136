// The handler of the experiments: answers each line with itself, after as much CPU work as its length says.
//
// SLUICE_LAB_WORK, like "64:1200,65:120000": steps of work (work.ts) for lines of so many bytes; others cost nothing. What takes
// SLUICE_LAB_HEAVY_STEPS or more is marked heavy: the model hybrid then computes it in a thread of its own.

import { lines } from "../../codec/lines.ts";
import { handlers, heavy } from "../../handlers.ts";
import { work } from "./work.ts";

const HEAVY_STEPS = Number(process.env.SLUICE_LAB_HEAVY_STEPS ?? Number.POSITIVE_INFINITY);
const STEPS: ReadonlyMap<number, number> = new Map(
  (process.env.SLUICE_LAB_WORK?.split(",") ?? []).map((pair) => {
    const [bytes, steps] = pair.split(":");
    return [Number(bytes), Number(steps)];
  }),
);

function stepsFor(line: string): number {
  return STEPS.get(line.length) ?? 0;
}

export default handlers({
  codec: lines({ maximumBytes: 65_536 }),
  message(connection, line) {
    const steps = stepsFor(line);
    if (steps >= HEAVY_STEPS) return heavy(line);
    if (steps > 0) work(steps);
    connection.send(line);
    return undefined;
  },
  compute(line: string) {
    work(stepsFor(line));
    return line;
  },
  computed(connection, line: string) {
    connection.send(line);
  },
});
