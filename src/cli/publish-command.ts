// sluice pub: one message on a topic of a service.

import { parseArgs } from "node:util";
import { CallError } from "../client/client.ts";
import { failed } from "./call-command.ts";
import { type Command, UsageError } from "./command.ts";
import { bodyOf, CLIENT_HELP, CLIENT_OPTIONS, codecOf, withClient } from "./swp-client.ts";

const HELP = `Usage: sluice pub HOST:PORT TOPIC BODY [OPTIONS]

Publishes on a topic of an SWP/1 service, and returns once the service has handed it to the
subscribers. BODY is JSON; - reads it from standard input.

  sluice pub 127.0.0.1:7000 room.7 '"hello"'

${CLIENT_HELP}`;

export const publishCommand: Command = {
  name: "pub",
  summary: "publish on a topic of an SWP/1 service",
  help: HELP,
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: CLIENT_OPTIONS,
    allowPositionals: true,
  });
  const [endpoint, topic, given, ...rest] = positionals;
  if (endpoint === undefined || topic === undefined || given === undefined || rest.length > 0) {
    throw new UsageError("pub takes HOST:PORT TOPIC BODY");
  }
  const body = await bodyOf(given, values);
  try {
    await withClient(endpoint, values, (api) =>
      api.publish(topic, body, { codec: codecOf(values) }),
    );
    return 0;
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    if (!(error instanceof CallError)) throw error;
    return failed(error, values.json === true);
  }
}
