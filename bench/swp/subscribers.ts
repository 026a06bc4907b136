// The subscribers of a fan-out, in a process of their own, on the drivers of this project: each says HELLO and subscribes; what comes is
// counted by its bytes and not looked at. Its parent says how many bytes it waits for, and is told when they are there.

import { connect } from "../../src/index.ts";
import { HELLO_KEY, KIND, PREFACE } from "../../src/protocol/codes.ts";
import { encodeHello } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";
import { u32Tlv } from "../../src/protocol/tlv.ts";

const [port = "", count = "", topic = ""] = process.argv.slice(2);
const AT_ONCE = 100;
const MOST_CREDIT = 0x7fff_ffff;
const WINDOW = 1024 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

let greeted = 0;
let received = 0;
let wanted = Number.POSITIVE_INFINITY;

function greeting(): Buffer {
  const writer = new FrameWriter();
  const tlvs = [u32Tlv(HELLO_KEY.WINDOW, WINDOW)];
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs });
  const open = { kind: KIND.SUBSCRIBE, codec: 0, name: topic, credit: MOST_CREDIT };
  encodeOpen(writer, 1, 1, open, NOTHING, 0, 0);
  return Buffer.concat([Uint8Array.from(PREFACE), writer.bytes.subarray(0, writer.end)]);
}

const greets = greeting();

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
for (let n = 0; n < Number(count); n += AT_ONCE) {
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, Number(count) - n) }, dial));
}
