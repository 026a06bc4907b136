// Conversations from docs/vectors/conversations.json, with a server: what is sent, and what must be answered.

import { Buffer } from "node:buffer";
import { CODEC, KIND } from "../protocol/codes.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";
import { FrameWriter } from "../protocol/frame-writer.ts";
import { encodeOpen } from "../protocol/stream-frames.ts";
import { introduced } from "./conform-hello.ts";
import { ConformPeer, type Described, describe, type Target, Unmet } from "./conform-peer.ts";
import type { Check } from "./conform-report.ts";

type Pattern = Readonly<Record<string, unknown>>;

interface EchoRequest {
  readonly stream: number;
  readonly flags: number;
  readonly body?: string;
  readonly length?: number;
  readonly codec?: number;
}

interface Step {
  readonly send?: string;
  readonly times?: number;
  readonly send_echo?: EchoRequest;
  readonly expect?: Pattern;
  readonly skip?: Pattern;
  readonly await?: Pattern;
  readonly text?: string;
  readonly closed?: boolean;
  readonly within_ms?: number;
}

export interface Conversation {
  readonly section: number;
  readonly rule: string;
  readonly handshake?: boolean;
  readonly needs?: string;
  readonly steps: readonly Step[];
}

/** A vector for one side that is tested; some of them need nothing but a peer. */
export interface Exchange {
  readonly section: number;
  readonly rule: string;
  readonly black_box?: true;
  readonly needs?: string;
  readonly steps: readonly ExchangeStep[];
}

interface ExchangeStep {
  readonly send?: string;
  readonly zeros?: number;
  readonly times?: number;
  readonly expect?: readonly Pattern[];
  readonly ended?: number;
}

/** Those of a group that can be found out from outside. */
export function exchangeChecks(
  group: string,
  vectors: readonly Exchange[],
  target: Target,
  echo: string | undefined,
): Check[] {
  return vectors
    .filter((vector) => vector.black_box === true)
    .map(({ section, rule, needs, steps }) => ({
      group,
      rule: `section ${section}: ${rule}`,
      // The bytes of the vector have this name in them.
      skip: needs === "echo" && echo !== "echo" ? "needs --echo echo" : undefined,
      run: () => converse({ section, rule, steps: steps.flatMap(toSteps) }, target, ""),
    }));
}

function toSteps({ send, zeros = 0, times, expect = [], ended }: ExchangeStep): Step[] {
  const steps: Step[] = expect.map((pattern) => ({ expect: pattern }));
  if (send !== undefined) {
    const bytes = send + "00".repeat(zeros);
    steps.unshift({ send: bytes, ...(times !== undefined && { times }) });
  }
  if (ended !== undefined)
    steps.push({ expect: { frame: "GOAWAY", code: ended } }, { closed: true });
  return steps;
}

/** @param echo the route that answers with its input, where the server has one */
export function conversationChecks(
  vectors: readonly Conversation[],
  target: Target,
  echo: string | undefined,
): Check[] {
  return vectors.map((conversation) => ({
    group: "conversations",
    rule: `section ${conversation.section}: ${conversation.rule}`,
    skip:
      conversation.needs === "echo" && echo === undefined
        ? "needs --echo ROUTE, a call that answers with its input"
        : undefined,
    run: () => converse(conversation, target, echo ?? ""),
  }));
}

async function converse(
  { handshake, steps }: Conversation,
  target: Target,
  echo: string,
): Promise<void> {
  const peer =
    handshake === false
      ? await ConformPeer.connect(target)
      : (await ConformPeer.greeted(target)).peer;
  try {
    const talk = new Talk(peer, echo);
    const said = handshake === false ? withToken(steps, target.token) : steps;
    for (const step of said) await talk.step(step);
  } finally {
    peer.close();
  }
}

/** The beginning of a connection, up to the first thing that is expected, with the token in its HELLO. */
function withToken(steps: readonly Step[], token: string | undefined): readonly Step[] {
  const first = steps.findIndex(({ send }) => send === undefined);
  const sent = first === -1 ? steps : steps.slice(0, first);
  const given = Buffer.from(sent.map(({ send }) => send).join(""), "hex");
  const bytes = introduced(given, token);
  if (bytes === given) return steps;
  const rest = steps.slice(sent.length);
  // Several steps are bytes one by one.
  const pieces = sent.length === 1 ? [bytes] : Array.from(bytes, (byte) => Buffer.of(byte));
  return [...pieces.map((piece) => ({ send: piece.toString("hex") })), ...rest];
}

class Talk {
  readonly #peer: ConformPeer;
  readonly #echo: string;
  #ahead: Described;

  constructor(peer: ConformPeer, echo: string) {
    this.#peer = peer;
    this.#echo = echo;
  }

  async step(step: Step): Promise<void> {
    if (step.send !== undefined) {
      const bytes = Buffer.from(step.send, "hex");
      for (let n = 0; n < (step.times ?? 1); n++) this.#peer.send(bytes);
    }
    if (step.send_echo !== undefined) this.#peer.send(echoRequest(step.send_echo, this.#echo));
    if (step.text !== undefined) await this.#text(step.text);
    if (step.skip !== undefined) await this.#skip(step.skip);
    if (step.expect !== undefined) await this.#expect(step.expect, step.within_ms);
    if (step.await !== undefined) await this.#await(step.await);
    if (step.closed === true) await this.#closed();
  }

  async #text(beginning: string): Promise<void> {
    const said = await this.#peer.foreign();
    if (!said.startsWith(beginning)) throw new Unmet(`expected "${beginning}…", not "${said}"`);
  }

  async #skip(pattern: Pattern): Promise<void> {
    for (;;) {
      this.#ahead = await this.#next();
      if (this.#ahead === undefined || !fits(this.#ahead, pattern)) return;
    }
  }

  async #expect(pattern: Pattern, withinMs: number | undefined): Promise<void> {
    let frame = this.#ahead ?? (await this.#next(withinMs));
    this.#ahead = undefined;
    while (frame?.frame === "CREDIT" && pattern.frame !== "CREDIT") frame = await this.#next();
    if (frame === undefined || !fits(frame, pattern)) {
      throw new Unmet(`expected ${JSON.stringify(pattern)}, got ${describe(frame)}`);
    }
  }

  async #await(pattern: Pattern): Promise<void> {
    for (;;) {
      const frame = await this.#next();
      if (frame === undefined) throw new Unmet(`no ${JSON.stringify(pattern)} before the end`);
      if (fits(frame, pattern)) return;
    }
  }

  async #closed(): Promise<void> {
    for (;;) {
      const frame = await this.#next();
      if (frame === undefined) return;
      // The line for people is no frame, and neither counted nor in the way.
      if (frame.frame !== "malformed") {
        throw new Unmet(`expected the end of the connection, got ${describe(frame)}`);
      }
    }
  }

  async #next(withinMs?: number): Promise<Described> {
    return this.#peer.frame(withinMs);
  }
}

/** Whether a frame has these members; `x_has`: these bits in x. */
function fits(frame: FrameDescription, pattern: Pattern): boolean {
  return Object.entries(pattern).every(([name, value]) => {
    if (!name.endsWith("_has")) return frame[name] === value;
    return (Number(frame[name.slice(0, -4)]) & Number(value)) === Number(value);
  });
}

function echoRequest(request: EchoRequest, name: string): Buffer {
  const { stream, flags, body, length, codec = CODEC.JSON } = request;
  const bytes =
    length === undefined
      ? Buffer.from(body ?? "", "hex")
      : Buffer.from(JSON.stringify("x".repeat(length)));
  const writer = new FrameWriter();
  const open = { kind: KIND.CALL, codec, name };
  encodeOpen(writer, stream, flags, open, bytes, 0, bytes.length);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}
