// The subscribers of a fan-out, in a process of their own: so many connections, of which it only counts the bytes. Its parent
// says how many it waits for, and is told when they are there.

import { connect } from "../../src/index.ts";

const [port = "", count = ""] = process.argv.slice(2);
const AT_ONCE = 100;

let received = 0;
let wanted = Number.POSITIVE_INFINITY;

function check(): void {
  if (received < wanted) return;
  wanted = Number.POSITIVE_INFINITY;
  process.send?.("received");
}

async function dial(): Promise<void> {
  await connect({
    port: Number(port),
    borrow: true,
    message(_connection, bytes: Buffer) {
      received += bytes.length;
      check();
    },
  });
}

for (let n = 0; n < Number(count); n += AT_ONCE) {
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, Number(count) - n) }, dial));
}
process.on("message", (bytes: number) => {
  received = 0;
  wanted = bytes;
  process.send?.("waiting");
});
process.send?.("connected");
