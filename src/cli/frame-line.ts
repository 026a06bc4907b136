// A frame as one line for people: its name, its stream, its flags, and every member that says something.

import { Buffer, isUtf8 } from "node:buffer";
import { styleText } from "node:util";
import {
  CODE,
  CODEC,
  ERROR_FLAG,
  FLAG,
  GOAWAY,
  GOAWAY_KEY,
  HELLO_KEY,
  KIND,
  META_KEY,
  nameOf,
} from "../protocol/codes.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";

/** Longer bodies are cut: a line is to be read. */
const MOST_SHOWN = 80;

/** Controls, formats, what is not assigned, and line ends that are none of ours. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const BYTES: ReadonlySet<string> = new Set(["body", "data", "detail"]);
/** TLVs that are integers, little-endian. */
const NUMBERS: ReadonlySet<string> = new Set(
  "max_frame max_message max_streams window keepalive last_seq stream_credit features replay_to priority attempt slow_policy from_seq".split(
    " ",
  ),
);

/** `OPEN 1 END call echo codec=JSON deadline_ms=250 body={"a":1}` */
export function frameLine(description: FrameDescription, colours: boolean): string {
  const { frame, stream, flags, ...members } = description;
  const paint = (format: Parameters<typeof styleText>[0], text: string) =>
    colours ? styleText(format, text, { validateStream: false }) : text;
  const bad = frame === "ERROR" || frame === "GOAWAY" || frame === "CANCEL";
  const parts = [paint(bad ? "red" : "bold", frame), String(stream), ...flagNames(frame, flags)];
  for (const [name, value] of Object.entries(members)) {
    const shown = memberText(frame, name, value);
    if (shown !== "") parts.push(BYTES.has(name) ? paint("dim", shown) : shown);
  }
  return parts.join(" ");
}

function flagNames(frame: string, flags: number): string[] {
  const names = Object.entries(FLAG)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => (frame === "PING" && name === "END" ? "ACK" : name));
  const others = flags & ~0x0f;
  return others === 0 ? names : [...names, `flags+0x${others.toString(16)}`];
}

/** Empty for what is at its default: zeros and nothings say nothing. */
function memberText(frame: string, name: string, value: unknown): string {
  if (value === "" || (Array.isArray(value) && value.length === 0)) return "";
  if (name === "kind") return nameOf(KIND, Number(value)).toLowerCase().replace("_", " ");
  if (name === "name" || name === "topic") return safeText(String(value));
  if (name === "codec") return `codec=${nameOf(CODEC, Number(value))}`;
  if (name === "code") return nameOf(frame === "GOAWAY" ? GOAWAY : CODE, Number(value));
  if (value === 0) return "";
  if (name === "eflags") return eflagNames(Number(value));
  if (BYTES.has(name)) return `${name}=${bytesText(String(value))}`;
  if (Array.isArray(value)) return value.map((tlv) => tlvText(frame, tlv)).join(" ");
  return `${name}=${typeof value === "string" ? `"${safeText(value)}"` : String(value)}`;
}

function eflagNames(eflags: number): string {
  const names = Object.entries(ERROR_FLAG).filter(([, bit]) => (eflags & bit) !== 0);
  return names.map(([name]) => name).join(" ");
}

/** By its name, where this protocol has one for it: numbers as such, all else as bytes. */
function tlvText(frame: string, tlv: { readonly key: number; readonly value: string }): string {
  const keys = frame === "OPEN" ? META_KEY : frame === "GOAWAY" ? GOAWAY_KEY : HELLO_KEY;
  const name = nameOf(keys, tlv.key).toLowerCase();
  const bytes = Buffer.from(tlv.value, "hex");
  const isNumber = NUMBERS.has(name) && bytes.length > 0 && bytes.length <= 4;
  if (isNumber) return `${name}=${bytes.readUIntLE(0, bytes.length)}`;
  return `${name}=${bytesText(tlv.value)}`;
}

/** What a peer sent never reaches a terminal as it is: it could move the cursor, or look like something else. */
export function safeText(text: string): string {
  return text.replace(INVISIBLE, (one) => `\\u{${one.codePointAt(0)?.toString(16)}}`);
}

/** Text where it is text, else hexadecimal. */
export function bytesText(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  const cut = bytes.subarray(0, MOST_SHOWN);
  const more = bytes.length > MOST_SHOWN ? `… (${bytes.length} bytes)` : "";
  const text = cut.toString("utf8");
  // Also a character that the cut went through is shown in hexadecimal: that is all the harm it does.
  return isUtf8(cut) && isPrintable(text) ? text + more : cut.toString("hex") + more;
}

function isPrintable(text: string): boolean {
  return text.search(INVISIBLE) < 0;
}
