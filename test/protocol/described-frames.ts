// From a frame's description back to its bytes, through the encoders: so that what is published is also what is sent.

import {
  encodeAck,
  encodeAuth,
  encodeCredit,
  encodeGoaway,
  encodeHello,
  encodePing,
  encodeWelcome,
} from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import {
  encodeCancel,
  encodeData,
  encodeError,
  encodeMsg,
  encodeOpen,
} from "../../src/protocol/stream-frames.ts";
import type { Tlv } from "../../src/protocol/tlv.ts";

/** With so much room left in the writer. @throws Error for a frame that has no encoder */
export function encodeDescribed(frame: Readonly<Record<string, unknown>>, room = 1000): Buffer {
  const writer = new FrameWriter();
  const start = writer.bytes.length - room;
  writer.end = start;
  const stream = number(frame.stream);
  const flags = number(frame.flags);
  switch (frame.frame) {
    case "HELLO": {
      const [versionMin, versionMax] = [number(frame.version_min), number(frame.version_max)];
      encodeHello(writer, { versionMin, versionMax, tlvs: tlvs(frame.tlvs) });
      break;
    }
    case "WELCOME":
      encodeWelcome(writer, { version: number(frame.version), tlvs: tlvs(frame.tlvs) });
      break;
    case "AUTH": {
      const [method, step] = [number(frame.method), number(frame.step)];
      encodeAuth(writer, { method, step, data: hex(frame.data) });
      break;
    }
    case "PING": {
      const data = hex(frame.data);
      encodePing(writer, data.readUInt32LE(0), data.readUInt32LE(4), flags !== 0);
      break;
    }
    case "GOAWAY":
      encodeGoaway(writer, {
        code: number(frame.code),
        lastOpen: number(frame.last_open),
        drainMs: number(frame.drain_ms),
        reconnectMs: number(frame.reconnect_ms),
        tlvs: tlvs(frame.tlvs),
      });
      break;
    case "CREDIT":
      encodeCredit(writer, stream, number(frame.add));
      break;
    case "ACK":
      encodeAck(writer, number(frame.seq));
      break;
    case "OPEN": {
      const body = hex(frame.body);
      const open = {
        kind: number(frame.kind),
        codec: number(frame.codec),
        routeId: number(frame.route_id),
        name: String(frame.name),
        deadlineMs: number(frame.deadline_ms),
        credit: number(frame.credit),
        meta: tlvs(frame.meta),
      };
      encodeOpen(writer, stream, flags, open, body, 0, body.length, number(frame.seq ?? 0));
      break;
    }
    case "DATA": {
      const body = hex(frame.body);
      encodeData(writer, stream, flags, body, 0, body.length);
      break;
    }
    case "MSG": {
      const topic = Buffer.from(String(frame.topic));
      const all = Buffer.concat([topic, hex(frame.body)]);
      const [dropped, seq] = [number(frame.dropped), number(frame.seq)];
      encodeMsg(writer, stream, flags, dropped, seq, all, topic.length, 0, all.length);
      break;
    }
    case "ERROR":
      encodeError(writer, stream, {
        code: number(frame.code),
        eflags: number(frame.eflags),
        retryAfterMs: number(frame.retry_after_ms),
        message: String(frame.message),
        detail: hex(frame.detail),
      });
      break;
    case "CANCEL":
      encodeCancel(writer, stream, number(frame.code));
      break;
    default: {
      const body = hex(frame.body);
      writer.copy(
        writer.frame(body.length, number(frame.frame), stream, flags),
        body,
        0,
        body.length,
      );
    }
  }
  return Buffer.from(writer.bytes.subarray(start, writer.end));
}

function number(value: unknown): number {
  const found = Number(value);
  if (!Number.isInteger(found)) throw new Error(`${String(value)} is no number`);
  return found;
}

function hex(value: unknown): Buffer {
  return Buffer.from(String(value), "hex");
}

function tlvs(list: unknown): Tlv[] {
  if (!Array.isArray(list)) throw new Error("no list of TLVs");
  return list.map(({ key, critical, value }) => ({
    key: number(key),
    ...(critical === true && { critical }),
    value: hex(value),
  }));
}
