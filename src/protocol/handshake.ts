// How a session begins, at both ends.
//
//   server  PREFACE ─► HELLO ─► JUDGING ─┬─► READY          WELCOME
//                                 ▲      └─► AUTH           AUTH, a challenge
//                                 └───────────┘             AUTH, the answer
//   client  WELCOME ─► READY                                AUTH is answered meanwhile
//
// While JUDGING the server reads on no further: what the client has sent in advance stays unread until the verdict, so
// that no user code but the one that judges runs before it.

import type { Buffer } from "node:buffer";
import type { Input } from "../codec/codec.ts";
import { FRAME, GOAWAY, GOAWAY_KEY, PREFACE, VERSION } from "./codes.ts";
import {
  type Auth,
  decodeAuth,
  decodeGoaway,
  decodeHello,
  decodeWelcome,
  encodeAuth,
  encodeHello,
  encodeWelcome,
} from "./connection-frames.ts";
import { limitTlvs, readPeer } from "./peer.ts";
import type { Session } from "./session.ts";
import type { Tlv } from "./tlv.ts";
import { protocolError, WireError } from "./wire-error.ts";
import { FIXED } from "./wire-limits.ts";

export const PHASE = {
  PREFACE: 0,
  HELLO: 1,
  JUDGING: 2,
  AUTH: 3,
  WELCOME: 4,
  READY: 5,
  CLOSED: 6,
} as const;

const STRANGER = "-ERR SWP/1 (binary) here; try: npx sluice tap HOST:PORT\r\n";

export interface HandshakeEvents {
  /** Server: a client introduces itself. `accept`, `challenge` or `session.end` answers, now or later. */
  hello(tlvs: readonly Tlv[]): void;
  /** Server: the answer to a challenge, or a token refresh when the session is ready. Client: a challenge. */
  auth(auth: Auth): void;
  /** The session is ready; a client is given WELCOME's TLVs. */
  ready(tlvs: readonly Tlv[]): void;
}

export class Handshake {
  phase: number;
  /** Client: streams may be opened before WELCOME. */
  pipelines = false;
  readonly #session: Session;
  readonly #codecs: readonly number[];
  /** Bytes of the preface that have come. */
  #prefaced = 0;

  constructor(session: Session, codecs: readonly number[]) {
    this.#session = session;
    this.#codecs = codecs;
    this.phase = session.role === "server" ? PHASE.PREFACE : PHASE.WELCOME;
  }

  // Server.

  /** Takes the preface off the input. False: it is not whole yet, or it was another one and the session is over. */
  preface(input: Input): boolean {
    if (this.phase !== PHASE.PREFACE) return true;
    while (this.#prefaced < PREFACE.length) {
      if (input.offset === input.end) return false;
      if (input.bytes[input.offset] !== PREFACE[this.#prefaced]) {
        this.#refuseStranger();
        return false;
      }
      input.offset++;
      this.#prefaced++;
    }
    this.phase = PHASE.HELLO;
    return true;
  }

  /** The first bytes are not the preface: one line for people, and the end. */
  #refuseStranger(): void {
    const { writer } = this.#session;
    this.#session.begin();
    writer.reserve(STRANGER.length);
    writer.end += writer.bytes.write(STRANGER, writer.end, "latin1");
    this.#session.end(GOAWAY.PROTOCOL, "no SWP/1 preface");
  }

  /** A frame before READY, or AUTH after it. */
  frame(type: number, id: number, bytes: Buffer, offset: number, length: number): void {
    if (id !== 0) throw protocolError("the handshake has stream 0");
    if (type === FRAME.HELLO && this.phase === PHASE.HELLO)
      return this.#hello(bytes, offset, length);
    if (type === FRAME.WELCOME && this.phase === PHASE.WELCOME) {
      return this.#welcome(bytes, offset, length);
    }
    if (type === FRAME.GOAWAY) return this.#session.goneAway(decodeGoaway(bytes, offset, length));
    const expected = [PHASE.AUTH, PHASE.WELCOME, PHASE.READY].includes(this.phase as 3 | 4 | 5);
    if (type !== FRAME.AUTH || !expected) {
      throw protocolError(`a frame of type ${type} has no place in this phase of the handshake`);
    }
    if (this.phase === PHASE.AUTH) this.phase = PHASE.JUDGING;
    this.#judge(() => this.#session.events.auth(decodeAuth(bytes, offset, length)));
  }

  #hello(bytes: Buffer, offset: number, length: number): void {
    const { versionMin, versionMax, tlvs } = decodeHello(bytes, offset, length);
    if (versionMin > VERSION || versionMax < VERSION) {
      const value = Uint8Array.of(VERSION, VERSION);
      const why = `version ${VERSION} is spoken here, not ${versionMin} to ${versionMax}`;
      return this.#session.end(GOAWAY.VERSION, why, [{ key: GOAWAY_KEY.VERSIONS, value }]);
    }
    this.#session.peer = readPeer(tlvs);
    this.phase = PHASE.JUDGING;
    this.#judge(() => this.#session.events.hello(tlvs));
  }

  /** Runs what judges; when it has not decided at once, nothing more is read until it has. */
  #judge(run: () => void): void {
    run();
    if (this.phase === PHASE.JUDGING) this.#session.transport.pause();
  }

  /** Server: the client is welcome. */
  accept(tlvs: readonly Tlv[]): void {
    if (this.phase !== PHASE.JUDGING) return;
    const session = this.#session;
    session.begin();
    const all = [...limitTlvs(session.limits, this.#codecs, session.packing), ...tlvs];
    encodeWelcome(session.writer, { version: VERSION, tlvs: all });
    this.#ready(session.peer.windowBytes, []);
    session.transport.resume();
  }

  /** Server: more is wanted before it is. */
  challenge(auth: Auth): void {
    if (this.phase !== PHASE.JUDGING) return;
    this.phase = PHASE.AUTH;
    this.answer(auth);
    this.#session.transport.resume();
  }

  // Client.

  /** Before anything of SWP/1 has come, what is wrong with its first bytes tells nobody that they are another protocol's. */
  explain({ goaway, message }: WireError): string {
    const isStranger = this.phase === PHASE.WELCOME && goaway !== GOAWAY.VERSION;
    return isStranger ? `what answers there does not speak SWP/1 (${message})` : message;
  }

  /** Sends the preface and HELLO. `pipelines`: streams may be opened before WELCOME has come. */
  start(tlvs: readonly Tlv[], pipelines: boolean): void {
    const session = this.#session;
    this.pipelines = pipelines;
    session.begin();
    const { writer } = session;
    writer.reserve(PREFACE.length);
    for (const byte of PREFACE) writer.bytes[writer.end++] = byte;
    const all = [...limitTlvs(session.limits, this.#codecs, session.compression), ...tlvs];
    encodeHello(writer, { versionMin: VERSION, versionMax: VERSION, tlvs: all });
  }

  #welcome(bytes: Buffer, offset: number, length: number): void {
    const { version, tlvs } = decodeWelcome(bytes, offset, length);
    if (version !== VERSION)
      throw new WireError(GOAWAY.VERSION, `version ${version} is not spoken here`);
    const session = this.#session;
    session.peer = readPeer(tlvs);
    // What was sent in advance has been charged to the little that was allowed.
    const charged = FIXED.pipelinedBytes - session.outgoing.window;
    this.#ready(session.peer.windowBytes - charged, tlvs);
  }

  #ready(window: number, tlvs: readonly Tlv[]): void {
    const session = this.#session;
    this.phase = PHASE.READY;
    session.reader.most = session.limits.frameBytes;
    session.outgoing.frameBytes = session.peer.frameBytes;
    session.outgoing.window = window;
    session.time.settled();
    session.events.ready(tlvs);
    session.outgoing.pump();
  }

  /** AUTH, either way. */
  answer(auth: Auth): void {
    this.#session.begin();
    encodeAuth(this.#session.writer, auth);
  }
}
