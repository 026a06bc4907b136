// A thousand subscribers in one process, as cheap as they can be: what comes is counted by its bytes and not looked at.

import { connect, type Socket } from "node:net";
import { HELLO_KEY, KIND, PREFACE } from "../../src/protocol/codes.ts";
import { encodeHello } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";
import { u32Tlv } from "../../src/protocol/tlv.ts";

const NOTHING = Buffer.alloc(0);
const MOST_CREDIT = 0x7fff_ffff;
const WINDOW = 1024 * 1024 * 1024;

export class Subscribers {
  readonly #sockets: readonly Socket[];
  bytes = 0;

  constructor(port: number, count: number, topic: string) {
    const greeting = subscribing(topic);
    this.#sockets = Array.from({ length: count }, () => {
      const socket = connect(port, "127.0.0.1");
      socket.write(greeting);
      socket.on("data", (data: Buffer) => {
        this.bytes += data.length;
      });
      return socket;
    });
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function subscribing(topic: string): Buffer {
  const writer = new FrameWriter();
  const tlvs = [u32Tlv(HELLO_KEY.WINDOW, WINDOW)];
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs });
  const open = { kind: KIND.SUBSCRIBE, codec: 0, name: topic, credit: MOST_CREDIT };
  encodeOpen(writer, 1, 1, open, NOTHING, 0, 0);
  return Buffer.concat([Uint8Array.from(PREFACE), writer.bytes.subarray(0, writer.end)]);
}
