// An echo in which a line of more than 64 bytes costs 20 ms of CPU: for the models' part of the benchmark.
import { handlers, heavy, lines } from "../../src/index.ts";

const LIGHT_BYTES = 64;
const HEAVY_MS = 20;

export default handlers({
  codec: lines(),
  message(connection, line) {
    if (line.length > LIGHT_BYTES) return heavy(line);
    connection.send(line);
    return undefined;
  },
  compute(line: string) {
    const until = performance.now() + HEAVY_MS;
    while (performance.now() < until);
    return line;
  },
  computed(connection, line: string) {
    connection.send(line);
  },
});
