// A client of a line protocol: sends commands, and waits for the lines that answer them.

import type { Buffer } from "node:buffer";
import { StringDecoder } from "node:string_decoder";
import type { TestContext } from "node:test";
import type { Server } from "../../src/server/serve.ts";
import type { Address } from "../../src/sys/address.ts";
import { Client } from "./client.ts";
import { until } from "./until.ts";

export class LineClient {
  readonly client: Client;
  /** All lines that have come, in order. */
  readonly lines: string[] = [];
  #rest = "";

  constructor(client: Client) {
    this.client = client;
    const decoder = new StringDecoder();
    client.socket.on("data", (bytes: Buffer) => {
      const parts = (this.#rest + decoder.write(bytes)).split("\n");
      this.#rest = parts.pop() ?? "";
      this.lines.push(...parts);
    });
  }

  static async connect(t: TestContext, address: Address): Promise<LineClient> {
    // Listens before it is connected: the first line may come with that.
    const lines = new LineClient(Client.dial(t, address));
    await until(() => lines.client.connected || lines.client.closed, "connecting");
    return lines;
  }

  /** Sends a command; what the line that begins with its name says behind that. */
  async ask(command: string): Promise<string> {
    const name = `${command.split(" ", 1)[0]} `;
    const from = this.lines.length;
    this.client.write(`${command}\n`);
    const line = await this.next((text) => text.startsWith(name), from, command);
    return line.slice(name.length);
  }

  /** The first line, from the given one on, that is so. */
  async next(is: (line: string) => boolean, from: number, what: string): Promise<string> {
    let found: string | undefined;
    await until(
      () => {
        found = this.lines.slice(from).find(is);
        return found !== undefined || this.client.closed;
      },
      () =>
        `${what}, in ${JSON.stringify(this.lines.slice(from, from + 10).map((line) => line.slice(0, 80)))}`,
    );
    if (found === undefined) throw new Error(`closed before: ${what}`);
    return found;
  }
}

/** A client of the thread with this number (asked with the command `thread`). */
export async function onThread(
  t: TestContext,
  server: Server,
  thread: number,
): Promise<LineClient> {
  for (;;) {
    const client = await LineClient.connect(t, server.address);
    if (Number.parseInt(await client.ask("thread"), 10) === thread) return client;
    client.client.destroy();
  }
}

/** One client on each of so many threads, by the number of its thread. */
export function onEachThread(
  t: TestContext,
  server: Server,
  threads: number,
): Promise<LineClient[]> {
  return Promise.all(Array.from({ length: threads }, (_, thread) => onThread(t, server, thread)));
}
