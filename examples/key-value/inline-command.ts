// Inline commands: a line of words, for people with telnet or nc. Quotes as in Redis: "…" with \n, \x41 and the like,
// '…' with \' only; a closing quote must be followed by a space or the line's end.
//
// Words without quotes are left where they are; with quotes the line is written anew into a buffer of its own.

import type { Request } from "./request.ts";

const NUL = 0x00;
const CR = 0x0d;
const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;

const ESCAPES = new Map<string, number>([
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
  ["b", 0x08],
  ["a", 0x07],
]);

/** Splits `bytes[start, end)`, a line without its end, into the request's arguments. False: unbalanced quotes. */
export function splitWords(request: Request, bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === NUL) return true;
    if (isSpace(byte)) {
      at++;
      continue;
    }
    const word = at;
    while (at < end && !endsWord(bytes[at] as number)) {
      if (isQuote(bytes[at] as number)) return splitQuoted(request, bytes, start, end);
      at++;
    }
    request.add(word, at);
  }
  return true;
}

/** The same from the line's beginning, with what the quotes stand for: never longer than the line. */
function splitQuoted(request: Request, bytes: Buffer, start: number, lineEnd: number): boolean {
  const line = bytes.subarray(start, lineEnd);
  const nul = line.indexOf(NUL);
  const end = nul < 0 ? line.length : nul;
  const target = Buffer.allocUnsafeSlow(end);
  let used = 0;
  let at = 0;
  request.begin(target);
  while (at < end) {
    if (isSpace(line[at] as number)) {
      at++;
      continue;
    }
    const word = used;
    while (at < end && !endsWord(line[at] as number)) {
      const quote = line[at] as number;
      at++;
      if (!isQuote(quote)) {
        target[used++] = quote;
        continue;
      }
      while (at < end && line[at] !== quote) {
        const length = quotedLength(line, at, end, quote);
        target[used++] = quotedByte(line, at, length);
        at += length;
      }
      if (at >= end) return false;
      at++;
      if (at < end && !isSpace(line[at] as number)) return false;
      break;
    }
    request.add(word, used);
  }
  return true;
}

/** How many bytes stand for the next one: 4 for \x41, 2 for another escape, 1. */
function quotedLength(bytes: Buffer, at: number, end: number, quote: number): number {
  if (bytes[at] !== BACKSLASH || at + 1 >= end) return 1;
  if (quote === SINGLE_QUOTE) return bytes[at + 1] === SINGLE_QUOTE ? 2 : 1;
  const isHex = at + 3 < end && /^x[0-9a-f]{2}$/i.test(bytes.toString("latin1", at + 1, at + 4));
  return isHex && bytes[at + 1] === 0x78 ? 4 : 2;
}

function quotedByte(bytes: Buffer, at: number, length: number): number {
  if (length === 4) return Number.parseInt(bytes.toString("latin1", at + 2, at + 4), 16);
  const byte = bytes[at + length - 1] as number;
  if (length === 1 || bytes[at + 1] === SINGLE_QUOTE) return byte;
  return ESCAPES.get(String.fromCharCode(byte)) ?? byte;
}

function isQuote(byte: number): boolean {
  return byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE;
}

/** As C's isspace. */
function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= CR);
}

/** Fewer than isSpace: vertical tab and form feed stand in a word, as they do in Redis. */
function endsWord(byte: number): boolean {
  return byte === SPACE || byte === 0x09 || byte === 0x0a || byte === CR || byte === NUL;
}
