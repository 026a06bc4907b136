// A connection without a socket: what the reactor promises a handler, and nothing else. What is wrong with how it is used is
// thrown to whoever uses it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Context } from "../../../src/handlers.ts";
import type { ServerSession } from "../../../src/service/server-session.ts";
import type { Service } from "../../../src/service/service.ts";

type Handled = Parameters<NonNullable<Service["opened"]>>[0];

const BORROWED = 0xdd;

export class MemoryConnection {
  readonly id: number;
  readonly context: Context;
  readonly remoteAddress = { family: "ipv4", host: "192.0.2.1", port: 1 } as const;
  readonly peerCredentials = undefined;
  state: ServerSession | undefined = undefined;
  /** Bytes that the client has not read. */
  pendingBytes = 0;
  /** What was written since it was looked at last. */
  written: Buffer[] = [];
  closed = false;
  readonly #service: Service;
  readonly #decoder: { next(input: object): unknown };
  /** Bytes that were not taken yet. */
  #waiting: Buffer = Buffer.alloc(0);
  #paused = false;
  #drained: (() => void)[] = [];
  #told = false;

  constructor(id: number, context: Context, service: Service) {
    this.id = id;
    this.context = context;
    this.#service = service;
    const decoder = service.codec?.decoder();
    assert.ok(decoder !== undefined);
    this.#decoder = decoder as { next(input: object): unknown };
    service.opened?.(this.#handled);
  }

  /** As handlers are given it. */
  get #handled(): Handled {
    return this as unknown as Handled;
  }

  // What the service does with it.

  write(bytes: Uint8Array): boolean {
    assert.ok(!this.closed, "nothing is written after the end");
    this.written.push(Buffer.from(bytes));
    return true;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  close(): void {
    this.#end();
  }

  reset(): void {
    this.#end();
  }

  #end(): void {
    assert.ok(!this.closed, "it is closed once");
    this.closed = true;
  }

  // What the client and the network do with it.

  receive(bytes: Buffer): void {
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
  }

  get readable(): boolean {
    return this.#waiting.length > 0 && !this.#paused && !this.closed;
  }

  /** Hands on what has come. The bytes that were taken. */
  read(): Buffer {
    const bytes = Buffer.from(this.#waiting);
    const input = { bytes, offset: 0, end: bytes.length, borrow: true };
    const message = this.#decoder.next(input);
    this.#service.message(this.#handled, message as never);
    const taken = this.#waiting.subarray(0, input.offset);
    this.#waiting = this.#waiting.subarray(input.offset);
    assert.ok(taken.length > 0 || this.#paused || this.closed, "it takes something, or pauses");
    // Whoever keeps what was only lent is found out.
    bytes.fill(BORROWED);
    return taken;
  }

  /** The client reads everything, or nothing any more. */
  reads(everything: boolean): void {
    this.pendingBytes = everything ? 0 : 1_000_000;
    if (everything) for (const resolve of this.#drained.splice(0)) resolve();
  }

  drain(): void {
    if (!this.closed) this.#service.draining?.(this.#handled);
  }

  clientEnds(): void {
    if (!this.closed) this.#service.ended?.(this.#handled);
  }

  /** The connection is gone, and the service is told: once. */
  gone(): void {
    if (this.#told) return;
    this.#told = true;
    this.#service.closed?.(this.#handled, "peer" as never, undefined);
  }
}
