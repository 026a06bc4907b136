// Targets whose behaviour is known, for a load generator that must tell what it is: one Worker with a node:net server for
// each behaviour, so that what blocks there blocks nothing here.

import { createServer, type Server } from "node:net";
import type { TestContext } from "node:test";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { Address } from "../../src/sys/address.ts";

export type Behaviour =
  | "echo"
  /** As echo, but all stands still for 100 ms in each second. */
  | "stall"
  /** As echo, but reads on only 400 ms after the first bytes have come. */
  | "late"
  /** Takes out one byte after the first 1,000. */
  | "drop"
  /** Changes one byte after the first 1,000. */
  | "corrupt"
  /** Swaps two bytes after the first 1,000. */
  | "reorder"
  /** Says more than it was asked. */
  | "babble"
  /** Accepts and reads, and never answers. */
  | "silent"
  /** Ends its side after the first bytes, and goes on reading. */
  | "half-close"
  /** Resets after the first bytes. */
  | "reset";

const STALL_MS = 100;
const STALL_EVERY_MS = 1000;
const LATE_MS = 400;
const INTACT_BYTES = 1000;

export interface KnownTarget {
  readonly address: Address;
  /** Connections that it has accepted and bytes that it has read. */
  counts(): { readonly accepted: number; readonly bytes: number };
}

/** A target of its own for one test. */
export async function knownTarget(t: TestContext, behaviour: Behaviour): Promise<KnownTarget> {
  const shared = new Float64Array(new SharedArrayBuffer(16));
  const worker = new Worker(new URL(import.meta.url), { workerData: { behaviour, shared } });
  t.after(() => worker.terminate());
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return {
    address: { family: "ipv4", host: "127.0.0.1", port },
    counts: () => ({ accepted: shared[0] ?? 0, bytes: shared[1] ?? 0 }),
  };
}

function serve(behaviour: Behaviour, counts: Float64Array): Server {
  return createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    counts[0] = (counts[0] ?? 0) + 1;
    let seen = 0;
    let spoiled = false;
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    const read = (bytes: Buffer) => {
      counts[1] = (counts[1] ?? 0) + bytes.length;
      seen += bytes.length;
      if (behaviour === "silent") return;
      if (behaviour === "reset") return void socket.resetAndDestroy();
      if (behaviour === "half-close") return void socket.end(bytes);
      if (behaviour === "babble") return void socket.write(Buffer.concat([bytes, bytes]));
      const spoils = seen > INTACT_BYTES && !spoiled && bytes.length > 2;
      spoiled ||= spoils;
      socket.write(spoils ? spoil(behaviour, bytes) : bytes);
    };
    if (behaviour !== "late") socket.on("data", read);
    // It does not read: what has come is kept by the stream and by the kernel.
    else socket.once("readable", () => setTimeout(() => socket.on("data", read), LATE_MS));
  });
}

function spoil(behaviour: Behaviour, bytes: Buffer): Buffer {
  if (behaviour === "drop") return bytes.subarray(1);
  if (behaviour === "corrupt") bytes[1] = (bytes[1] ?? 0) ^ 1;
  // Two neighbours that are the same would hide it.
  const at = bytes.findIndex((byte, n) => n > 0 && byte !== bytes[n - 1]);
  if (behaviour === "reorder" && at > 0) {
    const [first = 0, second = 0] = [bytes[at - 1], bytes[at]];
    bytes[at - 1] = second;
    bytes[at] = first;
  }
  return bytes;
}

if (!isMainThread) {
  const { behaviour, shared }: { behaviour: Behaviour; shared: Float64Array } = workerData;
  const server = serve(behaviour, shared);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    parentPort?.postMessage(typeof address === "object" ? address?.port : undefined);
  });
  if (behaviour === "stall") {
    const never = new Int32Array(new SharedArrayBuffer(4));
    setInterval(() => Atomics.wait(never, 0, 0, STALL_MS), STALL_EVERY_MS);
  }
}
