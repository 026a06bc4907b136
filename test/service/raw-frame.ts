// A frame of SWP/1 from the page, byte by byte: what is tested has no part in it.

import { Buffer } from "node:buffer";

export function rawFrame(type: number, stream: number, flags: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = type;
  header.writeUIntLE(stream, 4, 3);
  header[7] = flags;
  return Buffer.concat([header, payload]);
}
