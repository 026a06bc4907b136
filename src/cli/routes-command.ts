// sluice routes: what a service offers, as it says itself.

import { parseArgs } from "node:util";
import { CallError } from "../client/client.ts";
import { failed } from "./call-command.ts";
import { type Command, UsageError } from "./command.ts";
import { safeText } from "./frame-line.ts";
import { CLIENT_HELP, CLIENT_OPTIONS, withClient } from "./swp-client.ts";

const HELP = `Usage: sluice routes HOST:PORT [OPTIONS]

Prints the routes that an SWP/1 service lists, a line each. A service with very many lists some only.

${CLIENT_HELP}`;

export const routesCommand: Command = {
  name: "routes",
  summary: "list the routes of an SWP/1 service",
  help: HELP,
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: CLIENT_OPTIONS,
    allowPositionals: true,
  });
  const [endpoint, ...rest] = positionals;
  if (endpoint === undefined || rest.length > 0) throw new UsageError("routes takes HOST:PORT");
  const json = values.json === true;
  try {
    const routes = await withClient(endpoint, values, async (api) => api.routes);
    if (json) console.log(JSON.stringify(routes));
    else for (const route of routes) console.log(safeText(route));
    return 0;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return failed(error, json);
  }
}
