// A load of light messages at a fixed rate, with or without heavy ones among them: how long the light ones wait.
//
// Open loop: a message leaves when it is due, whatever has become of the one before, and its latency counts from then. Each
// kind has connections of its own, since on one connection a light message has to wait for the heavy one before it.
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface MixedLoad {
  readonly lightPerSecond: number;
  /** 0: none. */
  readonly heavyPerSecond: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface MixedFigures {
  /** Light messages answered per second of the window. */
  readonly messagesPerSecond: number;
  readonly p99Us: number;
}

const LIGHT_BYTES = 64;
const HEAVY_BYTES = 128;
const CONNECTIONS = 20;

/** Messages of one kind, over connections that take turns. */
class Stream {
  readonly latenciesUs: number[] = [];
  readonly #sockets: Socket[] = [];
  readonly #bytes: Buffer;
  readonly #everyMs: number;
  #sent = 0;

  constructor(bytes: number, perSecond: number) {
    this.#bytes = Buffer.alloc(bytes, "x");
    this.#bytes[bytes - 1] = 10;
    this.#everyMs = 1000 / perSecond;
  }

  async open(port: number): Promise<void> {
    for (let n = 0; n < CONNECTIONS; n++) {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      this.#sockets.push(socket);
    }
  }

  /** Sends what is due by now. `dueMs` counts from `startMs`; what was due before `countMs` does not count. */
  send(startMs: number, nowMs: number, countMs: number): void {
    for (; ; this.#sent++) {
      const dueMs = startMs + this.#sent * this.#everyMs;
      if (dueMs > nowMs) return;
      const socket = this.#sockets[this.#sent % CONNECTIONS];
      if (socket === undefined) return;
      this.#expect(socket, dueMs, dueMs >= countMs);
      socket.write(this.#bytes);
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  readonly #waiting = new Map<Socket, { readonly dueMs: number; readonly counts: boolean }[]>();

  #expect(socket: Socket, dueMs: number, counts: boolean): void {
    const waiting = this.#waiting.get(socket);
    if (waiting !== undefined) {
      waiting.push({ dueMs, counts });
      return;
    }
    const queue = [{ dueMs, counts }];
    this.#waiting.set(socket, queue);
    let received = 0;
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      for (; received >= this.#bytes.length; received -= this.#bytes.length) {
        const answered = queue.shift();
        if (answered?.counts) this.latenciesUs.push((performance.now() - answered.dueMs) * 1000);
      }
    });
  }
}

export async function runMixedLoad(port: number, load: MixedLoad): Promise<MixedFigures> {
  const light = new Stream(LIGHT_BYTES, load.lightPerSecond);
  const streams = [light];
  if (load.heavyPerSecond > 0) streams.push(new Stream(HEAVY_BYTES, load.heavyPerSecond));
  for (const stream of streams) await stream.open(port);
  const startMs = performance.now();
  const countMs = startMs + load.warmupSeconds * 1000;
  const endMs = countMs + load.seconds * 1000;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const nowMs = performance.now();
      for (const stream of streams) stream.send(startMs, nowMs, countMs);
      if (nowMs < endMs) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  for (const stream of streams) stream.close();
  const sorted = light.latenciesUs.sort((a, b) => a - b);
  if (sorted.length === 0) throw new Error("no light message was answered");
  return {
    messagesPerSecond: sorted.length / load.seconds,
    p99Us: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}
