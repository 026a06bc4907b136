// A peer of the benchmark: TCP echo on Deno.listen, one read buffer and one loop a
// connection. Usage: deno run --allow-net deno.ts PORT

interface DenoConnection {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  setNoDelay(on: boolean): void;
  close(): void;
}

/** The part of Deno's API that is used here, so that this file needs no types of Deno's. */
declare const Deno: {
  args: string[];
  /** Asking for it needs a permission; an argument does not. */
  listen(options: {
    hostname: string;
    port: number;
    reusePort: boolean;
  }): AsyncIterable<DenoConnection>;
};

async function echo(connection: DenoConnection): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  try {
    connection.setNoDelay(true);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) break;
      let sent = 0;
      while (sent < count) sent += await connection.write(buffer.subarray(sent, count));
    }
  } catch (error) {
    // A peer that resets is every day's business; it must not end the server.
    console.error(String(error));
  }
  connection.close();
}

const port = Number(Deno.args[0]);
const listener = Deno.listen({
  hostname: "127.0.0.1",
  port,
  reusePort: Deno.args[1] === "reuse-port",
});
console.log(`listening on 127.0.0.1:${port}`);
for await (const connection of listener) void echo(connection);
