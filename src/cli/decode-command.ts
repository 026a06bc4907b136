// sluice decode: bytes of SWP/1 from a file, as frames.

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { type Command, UsageError } from "./command.ts";
import { frameLine } from "./frame-line.ts";
import { FrameStream } from "./frame-stream.ts";

const HELP = `Usage: sluice decode [FILE] [--json]

Prints the SWP/1 frames in FILE, which holds raw bytes or hexadecimal (spaces and lines as you
like); without FILE, or with -, what comes on standard input. A preface may stand in front.

  --json     one line of JSON a frame, with the specification's names
  --help

Exit code 1 when something is malformed or cut off.`;

export const decodeCommand: Command = {
  name: "decode",
  summary: "print the SWP/1 frames in a file",
  help: HELP,
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean" } },
    allowPositionals: true,
  });
  if (positionals.length > 1) throw new UsageError("decode takes one FILE");
  const bytes = asBytes(await read(positionals[0] ?? "-"));
  if (bytes.length === 0) throw new Error("there is nothing to decode: the input is empty");
  const json = values.json === true;
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  let faults = 0;
  const stream = new FrameStream({
    preface: () => console.log(json ? JSON.stringify({ preface: true }) : "preface"),
    frame: (frame) => console.log(json ? JSON.stringify(frame) : frameLine(frame, colours)),
    malformed(why, payload) {
      faults++;
      const hex = payload.toString("hex");
      console.log(json ? JSON.stringify({ malformed: why, hex }) : `malformed: ${why}`);
    },
  });
  stream.read(bytes);
  if (faults === 0 && stream.pending === 0) return 0;
  if (stream.pending > 0) {
    console.error(`sluice: the last frame is cut off: ${stream.pending} bytes of it are there`);
  }
  return 1;
}

async function read(file: string): Promise<Buffer> {
  if (file === "-") return buffer(process.stdin);
  try {
    return readFileSync(file);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ENOENT") throw new Error(`there is no file ${file}`);
    if (code === "EISDIR") throw new Error(`${file} is a directory: decode takes a file`);
    throw new Error(`${file}: ${code}`);
  }
}

/** Raw bytes of frames always hold some that are no hexadecimal digits: the zeros of a header. */
function asBytes(content: Buffer): Buffer {
  const text = content.toString("latin1");
  if (!/^[\s0-9a-fA-F]*$/.test(text)) return content;
  const digits = text.replace(/\s/g, "");
  if (digits.length % 2 === 1) throw new Error("an odd number of hexadecimal digits");
  return Buffer.from(digits, "hex");
}
