// Clients that have made one call and stay silent but for PINGs, in a process of their own, on the drivers of this project. Its parent is told when all
// have their answer, and ends it.

import { connect } from "../../src/index.ts";
import { CODEC, FRAME, KIND, PING_ACK, PREFACE } from "../../src/protocol/codes.ts";
import { encodeHello } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";

const [port = "", count = ""] = process.argv.slice(2);
const AT_ONCE = 100;
/** Of a frame's header. */
const TYPE_AT = 3;
const FLAGS_AT = 7;
const BODY = Buffer.alloc(32, "x");

let answered = 0;

function greeting(): Buffer {
  const writer = new FrameWriter();
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs: [] });
  return Buffer.concat([Uint8Array.from(PREFACE), writer.bytes.subarray(0, writer.end)]);
}

function call(): Buffer {
  const writer = new FrameWriter();
  const open = { kind: KIND.CALL, codec: CODEC.RAW, name: "echo", credit: 0 };
  encodeOpen(writer, 1, 1, open, BODY, 0, BODY.length);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}

const greets = greeting();
const calls = call();

async function dial(): Promise<void> {
  let welcome = false;
  await connect({
    port: Number(port),
    borrow: true,
    opened: (connection) => void connection.write(greets),
    message(connection, bytes: Buffer) {
      if (!welcome) {
        welcome = true;
        connection.write(calls);
      } else if (bytes[TYPE_AT] === FRAME.PING) {
        const pong = Buffer.from(bytes);
        pong[FLAGS_AT] = PING_ACK;
        connection.write(pong);
      } else if (++answered === Number(count)) process.send?.("answered");
    },
  });
}

for (let n = 0; n < Number(count); n += AT_ONCE) {
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, Number(count) - n) }, dial));
}
