// What the commands that talk to a service have in common: the connection, its options, bodies as people write them.

import { text as readText } from "node:stream/consumers";
import { type BodyCodec, type Client, client, jsonCodec, utf8Codec } from "../client/client.ts";
import { WIRE_LIMITS } from "../protocol/wire-limits.ts";
import { integerOption, UsageError } from "./command.ts";
import { parseEndpoint } from "./endpoint.ts";
import { safeText } from "./frame-line.ts";

/** Of every command that talks to a service. */
export const CONNECTION_OPTIONS = {
  token: { type: "string" },
  "deadline-ms": { type: "string" },
  json: { type: "boolean" },
} as const;

/** And of those that carry bodies. */
export const CLIENT_OPTIONS = { ...CONNECTION_OPTIONS, text: { type: "boolean" } } as const;

export const CONNECTION_HELP = `  --token T        says who you are; also from the environment: SLUICE_TOKEN
  --deadline-ms N  how long it may take (default 10000)`;

export const ENDPOINT_HELP =
  "An endpoint is HOST:PORT, [::1]:PORT, PORT (of this machine) or unix:/path.";

export const CLIENT_HELP = `${CONNECTION_HELP}
  --text           bodies are text (UTF-8) instead of JSON
  --json           answers and errors as lines of JSON
  --help

${ENDPOINT_HELP}`;

export interface ClientValues {
  readonly token?: string | undefined;
  readonly text?: boolean | undefined;
  readonly "deadline-ms"?: string | undefined;
  readonly json?: boolean | undefined;
}

const DEADLINE_MS = 10_000;
const DAY_MS = 86_400_000;

export function codecOf(values: ClientValues): BodyCodec {
  return values.text === true ? utf8Codec : jsonCodec;
}

/** Connects, runs, and closes. @throws CallError when it cannot connect */
export async function withClient<Result>(
  endpoint: string,
  values: ClientValues,
  run: (api: Client) => Promise<Result>,
): Promise<Result> {
  const token = values.token ?? process.env.SLUICE_TOKEN;
  const deadlineMs = integerOption("deadline-ms", values["deadline-ms"], 1, DAY_MS) ?? DEADLINE_MS;
  // Who connects and then says nothing is waited for no longer than for an answer.
  const { minimum, default: most } = WIRE_LIMITS.handshakeMs;
  const api: Client = client({
    ...parseEndpoint(endpoint),
    codec: codecOf(values),
    deadlineMs,
    connectMs: deadlineMs,
    limits: { handshakeMs: Math.min(Math.max(deadlineMs, minimum), most) },
    ...(token !== undefined && { auth: { token } }),
    agent: "sluice command line",
  });
  try {
    // At once and with the reason, instead of trying until the deadline.
    await api.connected();
    return await run(api);
  } finally {
    await api.close();
  }
}

/** A body from the command line; `-` is standard input. @throws UsageError for what is no JSON */
export async function bodyOf(given: string | undefined, values: ClientValues): Promise<unknown> {
  if (given === undefined) return values.text === true ? "" : undefined;
  const body = given === "-" ? await readText(process.stdin) : given;
  if (values.text === true) return body;
  try {
    return JSON.parse(body);
  } catch {
    // Its own message quotes the body.
    throw new UsageError(`the body is no JSON (a string needs quotes: '"text"'); or use --text`);
  }
}

/** As one line, of JSON unless it is text and nobody wants JSON; on a terminal without what would not be seen there. */
export function shown(body: unknown, values: ClientValues): string {
  const text = values.text === true && values.json !== true && typeof body === "string";
  const line = text ? body : (JSON.stringify(body) ?? "");
  return process.stdout.isTTY ? safeText(line) : line;
}
