// A workload of the user's own: a module whose default export says how answers are cut (a codec, as a server has one), what
// the next request of a connection is, and whether its answer is right.
//
// Requests are encoded into the connection's own part of the output memory while the one before may still be on its way, so
// a part is only used again when what lay there has been sent: the driver sends one piece of a connection at a time.

import type { Codec, Decoder, Output } from "../../codec/codec.ts";
import { OptionError } from "../../limits.ts";
import { Chunk, decodeNext } from "./counted-answers.ts";
import type { Workload, WorkloadContext } from "./workload.ts";

/**
 * What a scenario's module exports by default. All functions run in a generator's thread, for each message: what they take
 * is the generator's time.
 */
export interface Scenario<Message, Sent = Message, State = unknown> {
  /** How answers are taken apart and requests are put together. */
  readonly codec: Codec<Message, Sent>;
  /** What is kept of a connection; `random` gives numbers from 0 up to 1, the same for the same seed. */
  state?(random: () => number): State;
  /** The next request. */
  request(state: State): Sent;
  /** One message answers one request, in order. A name (in capitals, as errors have) when it is wrong: it is counted. */
  answer?(state: State, message: Message): string | undefined;
}

/** Keeps the types of a scenario together, as `handlers` does for servers. */
export function scenario<Message, Sent = Message, State = unknown>(
  table: Scenario<Message, Sent, State>,
): Scenario<Message, Sent, State> {
  return table;
}

type AnyScenario = Scenario<unknown, unknown, unknown>;

interface ScenarioSession {
  readonly index: number;
  readonly state: unknown;
  readonly decoder: Decoder<unknown>;
}

const KIB = 1024;
const MOST_OUTPUT_BYTES = 1024 * KIB * KIB;
const LARGEST_PART = 256 * KIB;

export async function scenarioWorkload(context: WorkloadContext): Promise<Workload> {
  if (context.scenario === undefined) throw new OptionError("a scenario needs a file");
  const url = context.scenario;
  const module: { readonly default?: unknown } = await import(url).catch((error) => {
    throw thrown(error, url, "cannot be loaded");
  });
  return new ScenarioWorkload(checked(module.default, url), context, url);
}

/** What the user's module threw, with the place in it: alone it does not say whose mistake it is. */
function thrown(error: unknown, url: string, what: string): OptionError {
  if (error instanceof OptionError) return error;
  const [message, stack] =
    error instanceof Error ? [error.message, error.stack ?? ""] : [String(error), ""];
  const from = stack.indexOf(url);
  const line = from < 0 ? undefined : /^:(\d+)/.exec(stack.slice(from + url.length))?.[1];
  const place = line === undefined ? "" : ` (line ${line})`;
  return new OptionError(`${fileOf(url)} ${what}: ${message}${place}`);
}

function fileOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname);
}

function checked(table: unknown, where: string): AnyScenario {
  const name = fileOf(where);
  const has = (member: string, type: string) =>
    typeof table === "object" && table !== null && typeof Reflect.get(table, member) === type;
  if (!has("codec", "object") || !has("request", "function")) {
    throw new OptionError(`${name} must export a scenario by default: { codec, request, … }`);
  }
  return table as AnyScenario;
}

class ScenarioWorkload implements Workload<ScenarioSession> {
  readonly batch = { offset: 0, length: 0 };
  readonly outputBytes: number;
  readonly #scenario: AnyScenario;
  readonly #url: string;
  readonly #random: () => number;
  readonly #report: WorkloadContext["report"];
  readonly #partBytes: number;
  readonly #chunk = new Chunk();
  #writer = new PartWriter(Buffer.alloc(0));

  constructor(table: AnyScenario, { connections, random, report }: WorkloadContext, url: string) {
    this.#scenario = table;
    this.#url = url;
    this.#random = () => random.fraction();
    this.#report = report;
    this.#partBytes = Math.min(LARGEST_PART, Math.floor(MOST_OUTPUT_BYTES / connections));
    this.outputBytes = this.#partBytes * connections;
  }

  attach(output: Buffer): void {
    this.#writer = new PartWriter(output);
  }

  session(index: number): ScenarioSession {
    const { codec, state } = this.#scenario;
    try {
      return { index, state: state?.(this.#random), decoder: codec.decoder() };
    } catch (error) {
      throw thrown(error, this.#url, "threw in state");
    }
  }

  compose(session: ScenarioSession, most: number): number {
    const { codec, request } = this.#scenario;
    const start = session.index * this.#partBytes;
    const writer = this.#writer.begin(start, start + this.#partBytes);
    let taken = 0;
    // A quarter is kept free for the last one: its size is not known before.
    try {
      while (taken < most && writer.at - start < this.#partBytes * 0.75) {
        codec.encode(request(session.state), writer);
        taken++;
      }
    } catch (error) {
      throw thrown(error, this.#url, "threw in request");
    }
    this.batch.offset = start;
    this.batch.length = writer.at - start;
    if (this.batch.length === 0) throw new OptionError("a scenario's request has no bytes");
    return taken;
  }

  received(session: ScenarioSession, input: Buffer, offset: number, length: number): number {
    const chunk = this.#chunk.set(input, offset, length);
    const { answer } = this.#scenario;
    let complete = 0;
    for (;;) {
      const message = decodeNext(session.decoder, chunk);
      if (message === undefined) return complete;
      complete++;
      const wrong = answer === undefined ? undefined : this.#judge(session.state, message);
      if (wrong !== undefined) this.#report(wrong, "the scenario says so");
    }
  }

  #judge(state: unknown, message: unknown): string | undefined {
    try {
      return this.#scenario.answer?.(state, message);
    } catch (error) {
      throw thrown(error, this.#url, "threw in answer");
    }
  }
}

/** Where a codec's bytes go: a part of the output memory. */
class PartWriter implements Output {
  at = 0;
  #end = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  begin(start: number, end: number): this {
    this.at = start;
    this.#end = end;
    return this;
  }

  bytes(data: Uint8Array): void {
    this.#room(data.length);
    this.#bytes.set(data, this.at);
    this.at += data.length;
  }

  text(data: string): void {
    this.#room(Buffer.byteLength(data));
    this.at += this.#bytes.write(data, this.at);
  }

  uint(value: number, byteLength: 1 | 2 | 3 | 4, littleEndian: boolean): void {
    this.#room(byteLength);
    if (littleEndian) this.#bytes.writeUIntLE(value, this.at, byteLength);
    else this.#bytes.writeUIntBE(value, this.at, byteLength);
    this.at += byteLength;
  }

  #room(length: number): void {
    if (this.at + length > this.#end) {
      throw new OptionError("a scenario's requests are too large for their part of the memory");
    }
  }
}
