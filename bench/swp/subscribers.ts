// The subscribers of a fan-out, in a process of their own, on the drivers of this project: each says HELLO and subscribes; what comes is
// counted by its bytes and not looked at. Its parent says how many bytes it waits for, and is told when they are there.

import { connect } from "../../src/index.ts";
import { HELLO_KEY, KIND } from "../../src/protocol/codes.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";
import { u32Tlv } from "../../src/protocol/tlv.ts";
import { dialAll, framesOf, greeting } from "./many-clients.ts";

const [port = "", count = "", topic = ""] = process.argv.slice(2);
const MOST_CREDIT = 0x7fff_ffff;
const WINDOW = 1024 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

let greeted = 0;
let received = 0;
let wanted = Number.POSITIVE_INFINITY;

const SUBSCRIPTION = { kind: KIND.SUBSCRIBE, codec: 0, name: topic, credit: MOST_CREDIT };
// Both in one piece: what comes next after WELCOME is a message.
const greets = Buffer.concat([
  greeting([u32Tlv(HELLO_KEY.WINDOW, WINDOW)]),
  framesOf((writer) => encodeOpen(writer, 1, 1, SUBSCRIPTION, NOTHING, 0, 0)),
]);

async function dial(): Promise<void> {
  let welcome = false;
  await connect({
    port: Number(port),
    borrow: true,
    opened: (connection) => void connection.write(greets),
    message(_connection, bytes: Buffer) {
      if (!welcome) {
        // WELCOME: the subscription came in the same piece as HELLO.
        welcome = true;
        if (++greeted === Number(count)) process.send?.("subscribed");
        return;
      }
      received += bytes.length;
      if (received >= wanted) {
        wanted = Number.POSITIVE_INFINITY;
        process.send?.("received");
      }
    },
  });
}

process.on("message", (bytes: number) => {
  received = 0;
  wanted = bytes;
  process.send?.("waiting");
});
await dialAll(Number(count), dial);
