// Clients that have made one call and stay silent but for PINGs, in a process of their own, on the drivers of this project. Their
// parent is told when all have their answer, and ends them.

import { connect } from "../../src/index.ts";
import { CODEC, FRAME, KIND, PING_ACK } from "../../src/protocol/codes.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";
import { dialAll, framesOf, greeting } from "./many-clients.ts";

const [port = "", count = ""] = process.argv.slice(2);
/** Of a frame's header. */
const TYPE_AT = 3;
const FLAGS_AT = 7;
const BODY = Buffer.alloc(32, "x");
const CALL = { kind: KIND.CALL, codec: CODEC.RAW, name: "echo", credit: 0 };

const greets = greeting([]);
const calls = framesOf((writer) => encodeOpen(writer, 1, 1, CALL, BODY, 0, BODY.length));

let answered = 0;

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

await dialAll(Number(count), dial);
