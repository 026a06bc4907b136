// The handler of the experiments on slow clients and backpressure: a line `take N` is answered with N bytes, every other line with
// itself. SLUICE_LAB_BACKPRESSURE=no writes all of them without looking at what write answers.

import { lines } from "../../codec/lines.ts";
import { type Connection, handlers } from "../../handlers.ts";

const WAITS = process.env.SLUICE_LAB_BACKPRESSURE !== "no";
const CHUNK = Buffer.alloc(16 * 1024, "x");

async function answer(connection: Connection<string>, bytes: number): Promise<void> {
  for (let left = bytes; left > 0 && connection.open; left -= CHUNK.length) {
    const mayGoOn = connection.write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK);
    if (WAITS && !mayGoOn) await connection.drained();
  }
}

export default handlers<string, string>({
  codec: lines({ maximumBytes: 65_536 }),
  message(connection, line) {
    if (line.startsWith("take ")) return answer(connection, Number(line.slice("take ".length)));
    connection.send(line);
    return undefined;
  },
  // The model hybrid asks for both; nothing here is heavy.
  compute: () => undefined,
  computed: () => undefined,
});
