// A call: one request, one answer. Also a publication that is to be acknowledged: its answer is empty.

import type { Buffer } from "node:buffer";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import type { Stream } from "../protocol/stream.ts";
import type { Tlv } from "../protocol/tlv.ts";
import { Request, type RequestHost, type RequestOptions } from "./request.ts";

export class UnaryCall extends Request {
  readonly #resolve: (answer: unknown) => void;
  readonly #reject: (error: Error) => void;

  constructor(
    host: RequestHost,
    kind: number,
    name: string,
    codec: BodyCodec,
    body: Uint8Array,
    options: RequestOptions,
    more: { readonly meta?: readonly Tlv[]; readonly deadlineMs?: number },
    resolve: (answer: unknown) => void,
    reject: (error: Error) => void,
  ) {
    super(host, kind, name, codec, body, options, more);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  message(_stream: Stream, bytes: Buffer, start: number, end: number): void {
    if (this.over) return;
    try {
      const answer = this.codec.decode(bytes, start, end);
      this.finish();
      this.#resolve(answer);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.fail(new CallError("BAD_CODEC", `the answer is ${why}`));
    }
  }

  ended(): void {
    this.link?.streamOver();
    // An error costs more than all the rest of a call: it is only made when there is one.
    if (!this.over) this.fail(new CallError("INTERNAL", "the call has ended without an answer"));
  }

  protected failedFor(error: Error): void {
    this.#reject(error);
  }
}
