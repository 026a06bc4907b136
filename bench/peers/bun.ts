// A peer of the benchmark: TCP echo on Bun.listen, with what a write did not take
// kept until the socket drains. Usage: bun bun.ts PORT

interface BunSocket {
  data: { rest: Uint8Array[] };
  write(bytes: Uint8Array): number;
  setNoDelay(on: boolean): boolean;
  pause(): void;
  resume(): void;
  end(): void;
}

/** The part of Bun's API that is used here, so that this file needs no types of Bun's. */
declare const Bun: {
  argv: string[];
  env: Record<string, string | undefined>;
  listen(options: {
    hostname: string;
    port: number;
    reusePort: boolean;
    socket: {
      open(socket: BunSocket): void;
      data(socket: BunSocket, bytes: Uint8Array): void;
      drain(socket: BunSocket): void;
      error(socket: BunSocket, error: Error): void;
    };
  }): { port: number };
};

const port = Number(Bun.argv[2]);

Bun.listen({
  hostname: "127.0.0.1",
  port,
  reusePort: Bun.env.REUSE_PORT === "1",
  socket: {
    open(socket) {
      socket.data = { rest: [] };
      socket.setNoDelay(true);
    },
    data(socket, bytes) {
      const { rest } = socket.data;
      if (rest.length > 0) {
        rest.push(bytes.slice());
        return;
      }
      const count = Math.max(0, socket.write(bytes));
      if (count < bytes.length) {
        rest.push(bytes.slice(count));
        socket.pause();
      }
    },
    drain(socket) {
      const { rest } = socket.data;
      for (let first = rest[0]; first !== undefined; first = rest[0]) {
        const count = Math.max(0, socket.write(first));
        if (count < first.length) {
          rest[0] = first.subarray(count);
          return;
        }
        rest.shift();
      }
      socket.resume();
    },
    error(socket) {
      socket.end();
    },
  },
});

console.log(`listening on 127.0.0.1:${port}`);
