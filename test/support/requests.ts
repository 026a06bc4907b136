// A client of acknowledging.ts: keeps some requests in flight until its stream ends, and knows which were acknowledged.

import assert from "node:assert/strict";
import type { Client } from "./client.ts";
import { FILLER } from "./handlers/acknowledging.ts";

export class Requests {
  readonly client: Client;
  #sent = 0;
  readonly #name: string;

  constructor(client: Client, name: string, inFlight: number) {
    this.#name = name;
    this.client = client;
    let seen = 0;
    client.socket.on("data", (bytes: Buffer) => {
      for (const byte of bytes) if (byte === 10) seen++;
      while (!client.ended && this.#sent - seen < inFlight) this.#send();
    });
    for (let n = 0; n < inFlight; n++) this.#send();
  }

  /** Ids of the answers; fails when one is not whole. */
  acknowledged(): string[] {
    const text = this.client.text();
    if (text === "") return [];
    assert.ok(text.endsWith("\n"), `${this.#name}: an answer was cut: …${text.slice(-40)}`);
    return text
      .slice(0, -1)
      .split("\n")
      .map((line) => {
        const [id, filler] = line.split(" ");
        assert.equal(filler, FILLER);
        return id ?? "";
      });
  }

  #send(): void {
    this.client.write(`${this.#name}-${this.#sent++}\n`);
  }
}

/** What was executed was acknowledged, and the other way round, each once. */
export function assertSame(executed: readonly string[], acknowledged: readonly string[]): void {
  assert.equal(new Set(executed).size, executed.length, "a request was executed twice");
  assert.equal(new Set(acknowledged).size, acknowledged.length, "answered twice");
  assert.deepEqual(acknowledged.toSorted(), executed.toSorted());
}
