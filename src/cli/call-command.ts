// sluice call: one request to a service, its answer on standard output.

import { parseArgs } from "node:util";
import { CallError, type Client } from "../client/client.ts";
import { type Command, UsageError } from "./command.ts";
import { bodyOf, CLIENT_HELP, CLIENT_OPTIONS, codecOf, shown, withClient } from "./swp-client.ts";

const HELP = `Usage: sluice call HOST:PORT ROUTE [BODY] [OPTIONS]

Calls a route of an SWP/1 service and prints its answer. BODY is JSON; - reads it from standard input.

  sluice call 127.0.0.1:7000 echo '{"a":1}'

  --stream         the route answers with a stream: a line for each message
  --notify         the route does not answer (nobody is told when there is no such route)
${CLIENT_HELP}

Routes that take a stream cannot be called from here. Exit code 1 when the service answers with an error, or cannot be reached.`;

export const callCommand: Command = {
  name: "call",
  summary: "call a route of an SWP/1 service",
  help: HELP,
  run,
};

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: { ...CLIENT_OPTIONS, stream: { type: "boolean" }, notify: { type: "boolean" } },
    allowPositionals: true,
  });
}

type Values = ReturnType<typeof parse>["values"];

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const [endpoint, route, given, ...rest] = positionals;
  if (endpoint === undefined || route === undefined || rest.length > 0) {
    throw new UsageError("call takes HOST:PORT ROUTE [BODY]");
  }
  const body = await bodyOf(given, values);
  try {
    await withClient(endpoint, values, (api) => request(api, route, body, values));
    return 0;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    const code = failed(error, values.json === true);
    if (values.json !== true) advise(error, endpoint);
    return code;
  }
}

function advise({ code, notProcessed }: CallError, endpoint: string): void {
  if (code === "UNIMPLEMENTED") {
    console.error(
      "sluice: --stream is for a route that answers with a stream, --notify for one that does not answer; one that takes a stream needs a program",
    );
  }
  // What a handler does not find was processed.
  if (code === "NOT_FOUND" && notProcessed) {
    console.error(`sluice: those that there are: sluice routes ${endpoint}`);
  }
}

async function request(api: Client, route: string, body: unknown, values: Values): Promise<void> {
  const options = { codec: codecOf(values) };
  if (values.notify === true) return api.notify(route, body, options);
  const print = (answer: unknown) => {
    if (answer !== undefined) console.log(shown(answer, values));
    else if (values.json === true) console.log("null");
  };
  if (values.stream !== true) return print(await api.call(route, body, options));
  for await (const message of api.stream(route, body, options)) print(message);
}

/** An error of the service, or of the way there: one line. */
export function failed(error: CallError, json: boolean): number {
  const { code, message, detail } = error;
  if (json) console.log(JSON.stringify({ error: { code, message, detail } }));
  else console.error(`sluice: ${code}: ${message.split("\n")[0] ?? ""}`);
  return 1;
}
