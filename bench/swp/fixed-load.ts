// A load for protocols whose request and answer have always the same length: so many connections, so many requests in flight on each;
// for each answer that has come whole another request leaves. It is as cheap as a client can be, so that the peer sets the pace.

import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface FixedLoad {
  readonly port: number;
  readonly connections: number;
  readonly depth: number;
  /** Sent first; the load begins once an answer to it has come that `greeted` takes. */
  readonly greeting: (connection: number) => string;
  readonly greeted: (answer: string) => boolean;
  readonly request: (connection: number) => Buffer;
  readonly answerBytes: number;
  /** Takes what is no answer out of what has come, and answers it. */
  readonly filter?: (socket: Socket, bytes: Buffer) => Buffer;
}

export class FixedClients {
  /** Answers that have come. */
  answers = 0;
  readonly #sockets: Socket[] = [];

  static async open(load: FixedLoad): Promise<FixedClients> {
    const clients = new FixedClients();
    for (let n = 0; n < load.connections; n++) {
      const socket = connect(load.port, "127.0.0.1").setNoDelay(true);
      await once(socket, "connect");
      clients.#sockets.push(socket);
      await greet(socket, load, n);
    }
    for (const [n, socket] of clients.#sockets.entries()) clients.#start(socket, load, n);
    return clients;
  }

  #start(socket: Socket, { depth, request, answerBytes, filter }: FixedLoad, n: number): void {
    const all = Buffer.concat(Array.from({ length: depth }, () => request(n)));
    const { length } = request(n);
    let left = 0;
    socket.on("data", (data: Buffer) => {
      left += (filter === undefined ? data : filter(socket, data)).length;
      const whole = Math.floor(left / answerBytes);
      left -= whole * answerBytes;
      this.answers += whole;
      for (let more = whole; more > 0; more -= depth) {
        socket.write(all.subarray(0, length * Math.min(more, depth)));
      }
    });
    socket.write(all);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function greet(socket: Socket, { greeting, greeted }: FixedLoad, n: number): Promise<void> {
  socket.write(greeting(n));
  let said = "";
  while (!greeted(said)) {
    const [data] = await once(socket, "data");
    said += data.toString("latin1");
  }
}
