// A service that has moved, byte by byte, and with threads that start after it was said.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Context } from "../../src/handlers.ts";
import { token } from "../../src/service/auth.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { moved } from "../../src/service/relocation.ts";
import { service } from "../../src/service/service.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { PREFACE, tlv } from "./fuzz/frames.ts";
import { MemoryConnection } from "./fuzz/memory-connection.ts";
import { rawFrame } from "./raw-frame.ts";

const ADDRESS = "10.0.0.2:7000";

/** Threads of one server; what one says the others hear when it is delivered. */
function start(threads: number, options: ServiceOptions = {}) {
  const table = service({}, options);
  const mail: { readonly to: Context; readonly data: unknown }[] = [];
  const contexts: Context[] = Array.from({ length: threads }, (_, thread) => {
    const broadcast = (data: unknown) => {
      for (const to of contexts) if (to.thread !== thread) mail.push({ to, data });
      return true;
    };
    return { thread, threads, broadcast } as Context;
  });
  let connections = 0;
  return {
    deliver() {
      for (let one = mail.shift(); one !== undefined; one = mail.shift()) {
        table.broadcast?.(one.to, structuredClone(one.data));
      }
    },
    /** From outside, to one thread. */
    tell: (thread: number, data: unknown) => table.broadcast?.(contexts[thread] as Context, data),
    greet(thread: number, ...tlvs: Buffer[]) {
      const context = contexts[thread] as Context;
      const connection = new MemoryConnection(++connections, context, table);
      const payload = Buffer.concat([Buffer.from([1, 1, 0, 0]), ...tlvs]);
      connection.receive(Buffer.concat([PREFACE, rawFrame(1, 0, 0, payload)]));
      return () => {
        while (connection.readable) connection.read();
        const written = Buffer.concat(connection.written.splice(0));
        return decodeFast(written, 65_536).frames.map(({ frame, code, tlvs }) => {
          const other = (tlvs as { key: number; value: string }[]).find(({ key }) => key === 2);
          const address = Buffer.from(other?.value ?? "", "hex").toString();
          return frame === "GOAWAY" ? [frame, code, address] : [frame];
        });
      };
    },
  };
}

test("who is in is told DRAIN, who comes is told MOVED, both with the address", () => {
  const { tell, greet } = start(1);
  const early = greet(0);
  assert.deepEqual(early(), [["WELCOME"]]);
  tell(0, moved(ADDRESS));
  assert.deepEqual(early(), [["GOAWAY", 64, ADDRESS]]);
  assert.deepEqual(greet(0)(), [["GOAWAY", 77, ADDRESS]]);
});

test("a stranger is not told where it is", () => {
  const { tell, greet } = start(1, { auth: [token((secret) => secret === "let me in")] });
  tell(0, moved(ADDRESS));
  const show = (secret: string) => greet(0, tlv(8, Buffer.from(`\x01${secret}`)))();
  assert.deepEqual(show("guess"), [["GOAWAY", 69, ""]]);
  assert.deepEqual(show("let me in"), [["GOAWAY", 77, ADDRESS]]);
});

test("a thread that starts later asks the others, and the last word counts", () => {
  const { tell, greet, deliver } = start(2);
  const first = moved(ADDRESS);
  const last = moved("10.0.0.3:7000");
  tell(0, last);
  // Thread 1 begins here, and has let its first client in before it hears of it.
  const early = greet(1);
  assert.deepEqual(early(), [["WELCOME"]]);
  deliver();
  assert.deepEqual(early(), [["GOAWAY", 64, "10.0.0.3:7000"]]);
  assert.deepEqual(greet(1)(), [["GOAWAY", 77, "10.0.0.3:7000"]]);
  tell(1, first);
  assert.deepEqual(greet(1)(), [["GOAWAY", 77, "10.0.0.3:7000"]]);
  tell(1, moved(undefined));
  assert.deepEqual(greet(1)(), [["WELCOME"]]);
});
