// sluice routes: what a service offers, as it says itself.

import { parseArgs } from "node:util";
import { CallError, type ServiceShape } from "../client/client.ts";
import { CODEC, nameOf } from "../protocol/codes.ts";
import type { RouteShape } from "../protocol/route-shapes.ts";
import { failed } from "./call-command.ts";
import { type Command, UsageError } from "./command.ts";
import { safeText } from "./frame-line.ts";
import { CONNECTION_HELP, CONNECTION_OPTIONS, ENDPOINT_HELP, withClient } from "./swp-client.ts";

const HELP = `Usage: sluice routes HOST:PORT [OPTIONS]

Prints what an SWP/1 service offers: its routes, of which kind each is, and what goes in and comes out: nothing,
bytes, text, anything, or a value that a schema of the service checks. A - is what the service does not tell.
A service with very many routes lists some only.

${CONNECTION_HELP}
  --json           one object, {"schema":"sluice-routes/1",…}, and errors as JSON
  --help

${ENDPOINT_HELP}`;

/** Of what --json prints: another number when a reader of this one would be wrong. */
const SCHEMA = "sluice-routes/1";
const HEAD = ["ROUTE", "KIND", "INPUT", "OUTPUT"];
const UNTOLD = "-";
const GAP = "  ";

export const routesCommand: Command = {
  name: "routes",
  summary: "list the routes of an SWP/1 service",
  help: HELP,
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: CONNECTION_OPTIONS,
    allowPositionals: true,
  });
  const [endpoint, ...rest] = positionals;
  if (endpoint === undefined || rest.length > 0) throw new UsageError("routes takes HOST:PORT");
  const json = values.json === true;
  try {
    const shape = await withClient(endpoint, values, async (api) => api.shape);
    console.log(json ? JSON.stringify(asData(shape)) : asText(shape));
    return 0;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return failed(error, json);
  }
}

/** What is not told is null. */
function asData({ agent, codecs, routes }: ServiceShape) {
  return {
    schema: SCHEMA,
    agent,
    codecs: codecs.map(codecName),
    routes: routes.map(({ name, kind, input, output }) => ({
      name,
      kind: kind ?? null,
      input: input ?? null,
      output: output ?? null,
    })),
  };
}

function asText({ codecs, routes }: ServiceShape): string {
  const about = `codecs: ${codecs.length === 0 ? "raw" : codecs.map(codecName).join(", ")}`;
  if (routes.length === 0) return `no routes are listed\n${about}`;
  const rows = [HEAD, ...routes.map(cells)];
  const widths = HEAD.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  const lines = rows.map((row) => row.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join(GAP));
  return [...lines.map((line) => line.trimEnd()), "", about].join("\n");
}

function cells({ name, kind, input, output }: RouteShape): string[] {
  return [safeText(name), ...[kind, input, output].map((told) => told ?? UNTOLD)];
}

function codecName(id: number): string {
  return nameOf(CODEC, id).toLowerCase();
}
