// A user's codec takes the same place as the built-in ones: here one JSON value a line, made of lines().

import assert from "node:assert/strict";
import test from "node:test";
import { type Codec, DecodeError } from "../../src/codec/codec.ts";
import { lines } from "../../src/codec/lines.ts";
import { bytes, checkEverySplit, checkRefused, checkRoundTrip, encode } from "./streams.ts";

interface Command {
  readonly do: string;
}

function jsonLines(): Codec<Command> {
  const inner = lines({ maximumBytes: 64 });
  return {
    name: "jsonLines",
    decoder() {
      const decoder = inner.decoder();
      return {
        get pending() {
          return decoder.pending;
        },
        next(input) {
          const line = decoder.next(input);
          return line === undefined ? undefined : parse(line);
        },
      };
    },
    encode: (message, output) => inner.encode(JSON.stringify(message), output),
  };
}

function parse(line: string): Command {
  try {
    return JSON.parse(line);
  } catch {
    throw new DecodeError("EBADMSG", "a line is not JSON");
  }
}

test("a codec of one's own decodes at every split, and its errors end the stream", () => {
  const stream = bytes('{"do":"a"}\n{"do":"b"}\r\n{"do"');
  const messages = [{ do: "a" }, { do: "b" }];
  checkEverySplit(jsonLines(), stream, { messages, error: undefined, pending: 5 });
  const broken = bytes('{"do":"a"}\n{do}\n{"do":"b"}\n');
  checkEverySplit(jsonLines(), broken, { messages: [{ do: "a" }], error: "EBADMSG", pending: 0 });
  const long = bytes(`{"do":"${"x".repeat(64)}`);
  checkEverySplit(jsonLines(), long, { messages: [], error: "EMSGSIZE", pending: 0 });
});

test("a codec of one's own sends what it receives", () => {
  checkRoundTrip(jsonLines(), [{ do: "a" }, { do: "line\nbreak" }]);
  assert.deepEqual(encode(jsonLines(), [{ do: "é" }]), Buffer.from('{"do":"é"}\n'));
  checkRefused(jsonLines(), undefined as unknown as Command, TypeError);
});
