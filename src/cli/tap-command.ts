// sluice tap: a proxy that prints the SWP/1 frames which go through it, in both directions. The bytes go through as they are,
// whatever they mean: what is malformed is printed as such and passed on.

import { parseArgs } from "node:util";
import { connect } from "../client/connect.ts";
import type { Connection } from "../handlers.ts";
import { serve } from "../server/serve.ts";
import { formatAddress } from "../sys/address.ts";
import { type Command, UsageError } from "./command.ts";
import { parseEndpoint } from "./endpoint.ts";
import { frameLine } from "./frame-line.ts";
import { FrameStream } from "./frame-stream.ts";
import { stopSignal } from "./stop-signal.ts";

const HELP = `Usage: sluice tap LISTEN TARGET [--json]

A proxy: listens on LISTEN, connects to TARGET, passes everything on, and prints the SWP/1 frames
of both directions, with the tokens and secrets in them. An endpoint is HOST:PORT, [::1]:PORT, PORT
(of this machine) or unix:/path.

  sluice tap 7001 7000

  --json     one line of JSON a frame, with the specification's names
  --help`;

export const tapCommand: Command = {
  name: "tap",
  summary: "a proxy that prints SWP/1 frames",
  help: HELP,
  run,
};

type Side = "client" | "server";

/** One client and its connection to the target. */
interface Pair {
  readonly number: number;
  readonly client: Connection<Uint8Array | string, Pair | undefined>;
  readonly fromClient: FrameStream;
  readonly fromServer: FrameStream;
  target: Connection | undefined;
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean" } },
    allowPositionals: true,
  });
  const [listen, target, ...rest] = positionals;
  if (listen === undefined || target === undefined || rest.length > 0) {
    throw new UsageError("tap takes two endpoints: LISTEN TARGET");
  }
  const show = values.json === true ? showJson() : showLines();
  const server = await startTap(parseEndpoint(listen), parseEndpoint(target), show);
  show.note(undefined, `tapping ${formatAddress(server.address)} to ${target}`);
  await Promise.race([stopSignal(), server.ended]);
  await server.close({ drainMs: 0 });
  return 0;
}

/** Prints what is seen. `pair` is undefined for what belongs to no connection. */
interface Show {
  note(pair: number | undefined, text: string): void;
  stream(pair: number, from: Side): FrameStream;
}

function startTap(
  listen: ReturnType<typeof parseEndpoint>,
  target: ReturnType<typeof parseEndpoint>,
  show: Show,
) {
  let pairs = 0;
  return serve<Buffer, Uint8Array | string, Pair | undefined>({
    ...listen,
    state: () => undefined,
    async opened(client) {
      const number = ++pairs;
      const pair: Pair = {
        number,
        client,
        fromClient: show.stream(number, "client"),
        fromServer: show.stream(number, "server"),
        target: undefined,
      };
      client.state = pair;
      show.note(number, "connected");
      try {
        pair.target = await connectTarget(target, pair, show);
        if (!client.open) pair.target.reset();
      } catch (error) {
        show.note(number, error instanceof Error ? error.message : String(error));
        client.reset();
      }
    },
    message(client, bytes) {
      client.state?.fromClient.read(bytes);
      return forward(bytes, client.state?.target);
    },
    ended(client) {
      client.state?.target?.end();
    },
    closed(client, reason) {
      const pair = client.state;
      if (pair === undefined) return;
      show.note(pair.number, `client gone: ${reason}`);
      endOther(pair.target, reason);
    },
  });
}

function connectTarget(
  target: ReturnType<typeof parseEndpoint>,
  pair: Pair,
  show: Show,
): Promise<Connection> {
  return connect({
    ...target,
    message(_self, bytes: Buffer) {
      pair.fromServer.read(bytes);
      return forward(bytes, pair.client);
    },
    ended() {
      pair.client.end();
    },
    closed(_self, reason) {
      show.note(pair.number, `server gone: ${reason}`);
      endOther(pair.client, reason);
    },
  });
}

/** A slow reader on one side holds up the other: reading waits for the promise. */
function forward(
  bytes: Buffer,
  to: Connection<Uint8Array | string, never> | Connection | undefined,
) {
  if (to === undefined || to.write(bytes)) return undefined;
  return to.drained();
}

/** A reset is passed on as one. */
function endOther(other: { close(): void; reset(): void } | undefined, reason: string): void {
  if (reason === "error" || reason === "reset") other?.reset();
  else other?.close();
}

function showJson(): Show {
  const print = (members: object) => console.log(JSON.stringify(members));
  return {
    note: (connection, note) => print({ ms: Math.round(performance.now()), connection, note }),
    stream(connection, from) {
      const head = () => ({ ms: Math.round(performance.now()), connection, from });
      return new FrameStream({
        preface: () => print({ ...head(), preface: true }),
        frame: (frame, bytes) => print({ ...head(), bytes, ...frame }),
        malformed: (why, bytes) => print({ ...head(), malformed: why, hex: bytes.toString("hex") }),
      });
    },
  };
}

function showLines(): Show {
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  const print = (pair: number | undefined, arrow: string, text: string) => {
    const seconds = (performance.now() / 1000).toFixed(3).padStart(9);
    console.log(`${seconds} ${pair === undefined ? "  " : `#${pair}`} ${arrow} ${text}`);
  };
  return {
    note: (pair, text) => print(pair, "-", text),
    stream(pair, from) {
      const arrow = from === "client" ? "→" : "←";
      return new FrameStream({
        preface: () => print(pair, arrow, "preface"),
        frame: (frame) => print(pair, arrow, frameLine(frame, colours)),
        malformed: (why) => print(pair, arrow, `malformed: ${why}`),
      });
    },
  };
}
