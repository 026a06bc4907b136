// The tester's end of one connection: sends bytes as they are, and hands out what comes as described frames, one by one.

import { Buffer } from "node:buffer";
import { connect } from "../client/connect.ts";
import { deferred } from "../deferred.ts";
import type { Connection } from "../handlers.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";
import type { Tlv } from "../protocol/tlv.ts";
import { prefaceAndHello } from "./conform-hello.ts";
import type { parseEndpoint } from "./endpoint.ts";
import { FrameStream } from "./frame-stream.ts";

/** Asked when everything before it must have been read: its answer comes behind whatever that brought on. */
export const PING = Buffer.from("0800000400000000c0ffee0000000000", "hex");
const PING_DATA = "c0ffee0000000000";

/** The server under test. */
export interface Target {
  readonly endpoint: ReturnType<typeof parseEndpoint>;
  /** How long an answer may take. */
  readonly waitMs: number;
  /** Shown in every HELLO; undefined for servers that let strangers in. */
  readonly token: string | undefined;
}

export type Described = FrameDescription | undefined;

/** What the server did that it should not have, or did not do. */
export class Unmet extends Error {
  override readonly name = "Unmet";
}

export class ConformPeer {
  /** What came before the first frame, when that was none. */
  text = "";
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #waitMs: number;

  private constructor(connection: Connection, inbox: Inbox, waitMs: number) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#waitMs = waitMs;
  }

  static async connect(target: Target): Promise<ConformPeer> {
    const inbox = new Inbox();
    const connection = await connect({
      ...target.endpoint,
      message: (_, bytes: Buffer) => inbox.stream.read(bytes),
      closed: () => inbox.close(),
    });
    return new ConformPeer(connection, inbox, target.waitMs);
  }

  /** After preface, HELLO (with these TLVs beside the token) and WELCOME. */
  static async greeted(
    target: Target,
    tlvs: readonly Tlv[] = [],
  ): Promise<{
    readonly peer: ConformPeer;
    readonly welcome: FrameDescription;
  }> {
    const peer = await ConformPeer.connect(target);
    peer.send(prefaceAndHello(target.token, tlvs));
    const welcome = await peer.frame();
    if (welcome?.frame !== "WELCOME") {
      peer.close();
      throw new Unmet(`no WELCOME but ${describe(welcome)}`);
    }
    return { peer, welcome };
  }

  send(bytes: Uint8Array): void {
    this.#connection.write(bytes);
  }

  /** The next frame; undefined at the end of the connection. @throws Unmet when nothing comes */
  async frame(withinMs = this.#waitMs): Promise<Described> {
    const inbox = this.#inbox;
    while (inbox.frames.length === 0 && !inbox.closed) await inbox.change(withinMs);
    return inbox.frames.shift();
  }

  /**
   * Everything that comes before the answer to a PING that is sent now.
   * @throws Unmet when none comes
   */
  async untilAnswered(): Promise<FrameDescription[]> {
    this.send(PING);
    const before: FrameDescription[] = [];
    for (;;) {
      const frame = await this.frame();
      if (frame === undefined || frame.frame === "GOAWAY" || frame.frame === "malformed") {
        throw new Unmet(`expected an answer to PING, got ${describe(frame)}`);
      }
      if (frame.frame === "PING" && frame.data === PING_DATA) return before;
      before.push(frame);
    }
  }

  /** What came instead of frames. */
  async foreign(): Promise<string> {
    const inbox = this.#inbox;
    while (inbox.foreign === "" && !inbox.closed) await inbox.change(this.#waitMs);
    return inbox.foreign;
  }

  close(): void {
    this.#connection.reset();
  }
}

class Inbox {
  readonly frames: FrameDescription[] = [];
  foreign = "";
  closed = false;
  readonly stream: FrameStream;
  #waiting: (() => void)[] = [];

  constructor() {
    this.stream = new FrameStream({
      preface: () => this.#told(),
      frame: (frame) => {
        this.frames.push(frame);
        this.#told();
      },
      malformed: (why, bytes) => {
        this.foreign = bytes.toString("latin1");
        this.frames.push({ frame: "malformed", stream: 0, flags: 0, why });
        this.#told();
      },
    });
  }

  close(): void {
    this.closed = true;
    this.#told();
  }

  /** Resolves when something has come. @throws Unmet when nothing does */
  async change(withinMs: number): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    this.#waiting.push(resolve);
    const timer = setTimeout(() => reject(new Unmet("nothing came")), withinMs);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #told(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The value of a frame's TLV, where it has one. */
export function tlvOf(frame: FrameDescription, key: number): Buffer | undefined {
  const tlvs = frame.tlvs as readonly { readonly key: number; readonly value: string }[];
  const found = tlvs.find((one) => one.key === key);
  return found === undefined ? undefined : Buffer.from(found.value, "hex");
}

/** A frame in a few words. */
export function describe(frame: Described): string {
  if (frame === undefined) return "the end of the connection";
  const { code, stream } = frame;
  const what = code === undefined ? "" : ` ${String(code)}`;
  return `${frame.frame}${what}${stream === 0 ? "" : ` on stream ${stream}`}`;
}
