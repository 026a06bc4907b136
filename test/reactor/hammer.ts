// Full load for one server, from a process of its own: connections that always have a batch of lines under way. It says
// "hammering" once every connection has had its first answer, and ends with 1 when an answer is not what was sent.

import { Buffer } from "node:buffer";
import { connect } from "node:net";

const CONNECTIONS = 8;
const LINES = 64;

const port = Number(process.argv[2]);
let answered = 0;
for (let n = 0; n < CONNECTIONS; n++) hammer(Buffer.from(`${n}:${"x".repeat(60)}\n`.repeat(LINES)));

function hammer(batch: Buffer): void {
  const socket = connect(port, "127.0.0.1", () => socket.write(batch));
  let at = 0;
  let first = true;
  socket.on("data", (bytes: Buffer) => {
    if (!batch.subarray(at, at + bytes.length).equals(bytes)) throw new Error("a wrong echo");
    at += bytes.length;
    if (at < batch.length) return;
    at = 0;
    socket.write(batch);
    if (first && ++answered === CONNECTIONS) console.log("hammering");
    first = false;
  });
  // The server may be killed, or end as a test wants it to: nothing is left to do then.
  socket.on("error", () => process.exit(0));
  socket.on("close", () => process.exit(0));
}
