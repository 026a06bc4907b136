// Two sessions and the pipe between them: bytes lie in it until they are delivered, whole or in pieces; time stands still
// until it is moved. Everything that either side is told is noted.

import { Buffer } from "node:buffer";
import { CODEC } from "../../src/protocol/codes.ts";
import type { Compression } from "../../src/protocol/compression.ts";
import { Session } from "../../src/protocol/session.ts";
import type { SessionEnd, SessionEvents, Transport } from "../../src/protocol/session-events.ts";
import type { Stream, StreamOwner } from "../../src/protocol/stream.ts";
import type { MsgFrame, OpenFrame, StreamError } from "../../src/protocol/stream-frames.ts";
import { Wire } from "../../src/protocol/wire.ts";
import { completeWireLimits, type WireLimits } from "../../src/protocol/wire-limits.ts";

/** One end: a session, what it has sent, and what it was told. */
export class End implements SessionEvents {
  readonly session: Session;
  readonly name: "client" | "server";
  /** On the way to the other side. */
  readonly outbox: Buffer[] = [];
  /** In words, in order. */
  readonly told: string[] = [];
  /** What opened streams do; none are answered by default. */
  onOpened: (stream: Stream | undefined, open: OpenFrame, body: Buffer) => void = () => undefined;
  onHello: () => void = () => this.session.handshake.accept([]);
  pendingBytes = 0;
  paused = false;
  closed = false;
  ending: SessionEnd | undefined;

  constructor(
    name: "client" | "server",
    wire: Wire,
    limits: Partial<WireLimits>,
    compression?: Compression,
  ) {
    this.name = name;
    const transport: Transport = {
      pendingBytes: 0,
      write: (bytes, start, end) => void this.outbox.push(Buffer.from(bytes.subarray(start, end))),
      awaitDrain: () => undefined,
      pause: () => {
        this.paused = true;
      },
      resume: () => {
        this.paused = false;
      },
      close: () => {
        this.closed = true;
      },
    };
    Object.defineProperty(transport, "pendingBytes", { get: () => this.pendingBytes });
    this.session = new Session({
      role: name,
      wire,
      limits: completeWireLimits(limits),
      transport,
      events: this,
      codecs: [CODEC.RAW],
      compression,
    });
  }

  hello(): void {
    this.onHello();
  }

  auth(): void {
    this.told.push("auth");
  }

  ready(): void {
    this.told.push("ready");
  }

  opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const body = Buffer.from(bytes.subarray(start, end));
    this.told.push(`open ${stream?.id ?? 0} ${open.name()} ${body}`);
    this.onOpened(stream, open, body);
  }

  published(stream: Stream, msg: MsgFrame, bytes: Buffer, start: number, end: number): void {
    this.told.push(`msg ${stream.id} ${msg.topic()} ${bytes.toString("utf8", start, end)}`);
  }

  roomAgain(): void {
    // Nobody here waits for room.
  }

  goaway(): void {
    this.told.push("goaway");
  }

  ended(end: SessionEnd): void {
    this.ending = end;
    this.told.push(`ended ${end.code ?? ""}`);
  }
}

/** Notes what it is told. */
export class Notes implements StreamOwner {
  readonly told: string[] = [];
  readonly messages: Buffer[] = [];
  error: StreamError | undefined;

  message(_stream: Stream, bytes: Buffer, start: number, end: number): void {
    this.messages.push(Buffer.from(bytes.subarray(start, end)));
  }
  ended(): void {
    this.told.push("ended");
  }
  failed(_stream: Stream, error: StreamError): void {
    this.error = error;
    this.told.push(`failed ${error.code}`);
  }
  cancelled(_stream: Stream, code: number): void {
    this.told.push(`cancelled ${code}`);
  }
  credited(): void {
    // Looked at by those who send.
  }
  expired(): void {
    this.told.push("expired");
  }
  cut(): void {
    this.told.push("cut");
  }
}

export class TwoSessions {
  nowMs = 1000;
  readonly wire: Wire;
  readonly client: End;
  readonly server: End;

  constructor(
    limits: { readonly client?: Partial<WireLimits>; readonly server?: Partial<WireLimits> } = {},
  ) {
    this.wire = new Wire({ now: () => this.nowMs, soon: () => undefined });
    this.server = new End("server", this.wire, limits.server ?? {});
    this.client = new End("client", this.wire, limits.client ?? {});
  }

  /** The client says HELLO, and everything is delivered until nothing is left. */
  start(): this {
    this.client.session.handshake.start([], true);
    this.settle();
    return this;
  }

  /** Moves bytes both ways until there are none. `cut` says how long the next piece is. */
  settle(cut: (length: number) => number = (length) => length): void {
    for (;;) {
      this.wire.flush();
      const moved = [
        this.deliver(this.client, this.server, cut),
        this.deliver(this.server, this.client, cut),
      ];
      if (!moved.includes(true)) return;
    }
  }

  /** What one end has sent reaches the other. False: there was nothing. */
  deliver(from: End, to: End, cut: (length: number) => number = (length) => length): boolean {
    this.wire.flush();
    if (from.outbox.length === 0 || to.paused) return false;
    const bytes = Buffer.concat(from.outbox.splice(0));
    const length = Math.max(1, Math.min(bytes.length, cut(bytes.length)));
    if (length < bytes.length) from.outbox.push(bytes.subarray(length));
    const input = {
      bytes: Buffer.from(bytes.subarray(0, length)),
      offset: 0,
      end: length,
      borrow: true,
    };
    to.session.receive(input);
    if (input.offset < length) from.outbox.unshift(input.bytes.subarray(input.offset));
    return true;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.wire.agenda.run(this.nowMs);
  }
}
