// sluice sub: the messages of topics, a line each, until it is stopped.

import { parseArgs } from "node:util";
import { CallError, type Client, type Gap } from "../client/client.ts";
import { failed } from "./call-command.ts";
import { type Command, integerOption, UsageError } from "./command.ts";
import { safeText } from "./frame-line.ts";
import { stopSignal } from "./stop-signal.ts";
import { CLIENT_HELP, CLIENT_OPTIONS, codecOf, shown, withClient } from "./swp-client.ts";

const HELP = `Usage: sluice sub HOST:PORT TOPIC… [OPTIONS]

Prints the messages of topics of an SWP/1 service, a line each: topic, body. In a TOPIC * stands for
one token, a last > for one or more. A connection that is cut comes back; what was missed is said.

  sluice sub 127.0.0.1:7000 'room.*'

  --count N        ends after so many messages; --deadline-ms is for connecting
${CLIENT_HELP}`;

export const subscribeCommand: Command = {
  name: "sub",
  summary: "print the messages of topics of an SWP/1 service",
  help: HELP,
  run,
};

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: { ...CLIENT_OPTIONS, count: { type: "string" } },
    allowPositionals: true,
  });
}

type Values = ReturnType<typeof parse>["values"];

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const [endpoint, ...topics] = positionals;
  if (endpoint === undefined || topics.length === 0) {
    throw new UsageError("sub takes HOST:PORT and one TOPIC or more");
  }
  const count = integerOption("count", values.count, 1, Number.MAX_SAFE_INTEGER);
  try {
    await withClient(endpoint, values, (api) => print(api, topics, count, values));
    return 0;
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    if (!(error instanceof CallError)) throw error;
    return failed(error, values.json === true);
  }
}

async function print(
  api: Client,
  topics: readonly string[],
  count = Number.POSITIVE_INFINITY,
  values: Values,
): Promise<void> {
  const json = values.json === true;
  let left = count;
  const subscriptions = topics.map((topic) => {
    const onGap = (gap: Gap) => tellGap(topic, gap, json);
    return api.subscribe(topic, { codec: codecOf(values), onGap });
  });
  const readers = subscriptions.map(async (messages) => {
    for await (const { topic, body } of messages) {
      if (json) console.log(JSON.stringify({ topic, body }));
      else console.log(`${safeText(topic)} ${shown(body, values)}`);
      left--;
      if (left <= 0) for (const one of subscriptions) one.close();
    }
  });
  await Promise.race([Promise.all(readers), stopSignal()]);
}

function tellGap(topic: string, { reason, messages }: Gap, json: boolean): void {
  if (json) return console.log(JSON.stringify({ gap: { topic, reason, messages } }));
  const what = messages === undefined ? "messages may be missing" : `${messages} are missing`;
  console.error(`sluice: ${topic}: ${what} (${reason === "slow" ? "too slow" : "reconnected"})`);
}
