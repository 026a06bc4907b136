// A frame as a plain object with the specification's names: for people, tools and test vectors, not for servers.

import { FLAG, FRAME, nameOf } from "./codes.ts";
import {
  checkPing,
  decodeAck,
  decodeAuth,
  decodeCredit,
  decodeGoaway,
  decodeHello,
  decodeWelcome,
} from "./connection-frames.ts";
import { decodeCancel, decodeError, MsgFrame, OpenFrame } from "./stream-frames.ts";
import type { Tlv } from "./tlv.ts";

/** Numbers as numbers, bytes in hexadecimal, text as text. Every frame has `frame`, `stream` and `flags`. */
export type FrameDescription = Readonly<Record<string, unknown>> & {
  /** The type's name, or its number when it has none. */
  readonly frame: string;
  readonly stream: number;
  readonly flags: number;
};

/** @throws WireError for a payload that is malformed */
export function describeFrame(
  type: number,
  flags: number,
  stream: number,
  bytes: Buffer,
  view: DataView,
  offset: number,
  length: number,
): FrameDescription {
  const hex = (from: number) => bytes.toString("hex", from, offset + length);
  const described = (): Record<string, unknown> => {
    switch (type) {
      case FRAME.HELLO: {
        const { versionMin, versionMax, tlvs } = decodeHello(bytes, offset, length);
        return { version_min: versionMin, version_max: versionMax, tlvs: tlvs.map(describeTlv) };
      }
      case FRAME.WELCOME: {
        const { version, tlvs } = decodeWelcome(bytes, offset, length);
        return { version, tlvs: tlvs.map(describeTlv) };
      }
      case FRAME.AUTH: {
        const { method, step, data } = decodeAuth(bytes, offset, length);
        return { method, step, data: data.toString("hex") };
      }
      case FRAME.PING:
        checkPing(length);
        return { data: hex(offset) };
      case FRAME.GOAWAY: {
        const { code, lastOpen, drainMs, reconnectMs, tlvs } = decodeGoaway(bytes, offset, length);
        return {
          code,
          last_open: lastOpen,
          drain_ms: drainMs,
          reconnect_ms: reconnectMs,
          tlvs: tlvs.map(describeTlv),
        };
      }
      case FRAME.CREDIT:
        return { add: decodeCredit(view, offset, length) };
      case FRAME.ACK:
        return { seq: decodeAck(view, offset, length) };
      case FRAME.OPEN: {
        const open = new OpenFrame();
        open.decode(flags, bytes, view, offset, length);
        return {
          ...((flags & FLAG.SEQ) !== 0 && { seq: open.seq }),
          kind: open.kind,
          codec: open.codec,
          route_id: open.routeId,
          deadline_ms: open.deadlineMs,
          credit: open.credit,
          name: open.name(),
          meta: open.meta().map(describeTlv),
          body: hex(open.body),
        };
      }
      case FRAME.MSG: {
        const msg = new MsgFrame();
        msg.decode(bytes, view, offset, length);
        return { dropped: msg.dropped, seq: msg.seq, topic: msg.topic(), body: hex(msg.body) };
      }
      case FRAME.ERROR: {
        const { code, eflags, retryAfterMs, message, detail } = decodeError(bytes, offset, length);
        const text = Buffer.from(detail).toString("hex");
        return { code, eflags, retry_after_ms: retryAfterMs, message, detail: text };
      }
      case FRAME.CANCEL:
        return { code: decodeCancel(view, offset, length) };
      default:
        return { body: hex(offset) };
    }
  };
  return { frame: nameOf(FRAME, type), stream, flags, ...described() };
}

function describeTlv({ key, critical, value }: Tlv): object {
  const hex = Buffer.from(value).toString("hex");
  return { key, ...(critical === true && { critical }), value: hex };
}
