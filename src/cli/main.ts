#!/usr/bin/env node
// The command line: finds the command, runs it, and turns whatever goes wrong into one line and an exit code.

import { readFileSync } from "node:fs";
import { OptionError } from "../limits.ts";
import { AddressError } from "../sys/address.ts";
import { callCommand } from "./call-command.ts";
import { type Command, UsageError } from "./command.ts";
import { compareCommand } from "./compare-command.ts";
import { conformCommand } from "./conform-command.ts";
import { decodeCommand } from "./decode-command.ts";
import { doctor } from "./doctor.ts";
import { labCommand } from "./lab-command.ts";
import { loadCommand } from "./load-command.ts";
import { publishCommand } from "./publish-command.ts";
import { routesCommand } from "./routes-command.ts";
import { serveCommand } from "./serve-command.ts";
import { watchOutput } from "./standard-output.ts";
import { subscribeCommand } from "./subscribe-command.ts";
import { tapCommand } from "./tap-command.ts";

const COMMANDS: readonly Command[] = [
  serveCommand,
  callCommand,
  subscribeCommand,
  publishCommand,
  routesCommand,
  tapCommand,
  decodeCommand,
  conformCommand,
  loadCommand,
  compareCommand,
  labCommand,
  doctor,
];

function help(): string {
  const rows = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`);
  return [
    "Sluice: raw TCP servers in TypeScript.",
    "",
    "Usage: sluice COMMAND [OPTIONS]",
    "",
    ...rows,
    "",
    "sluice COMMAND --help tells more; sluice --version tells which this is.",
  ].join("\n");
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  const { version: number }: { version: string } = JSON.parse(readFileSync(file, "utf8"));
  return number;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined)
    throw new UsageError(`which command? ${COMMANDS.map((c) => c.name).join(", ")}`);
  const asked = name === "help" ? rest[0] : undefined;
  if (asked === undefined && ["--help", "-h", "help"].includes(name)) {
    console.log(help());
    return 0;
  }
  if (name === "--version" || name === "-V") {
    console.log(version());
    return 0;
  }
  const command = commandNamed(asked ?? name);
  if (command === undefined) throw new UsageError(`there is no command "${asked ?? name}"`);
  if (asked !== undefined || rest.includes("--help") || rest.includes("-h")) {
    console.log(command.help);
    return 0;
  }
  watchOutput(command.outlivesReader === true);
  return command.run(rest);
}

function commandNamed(name: string | undefined): Command | undefined {
  return COMMANDS.find((candidate) => candidate.name === name);
}

function fail(error: unknown, name: string | undefined): number {
  const message = error instanceof Error ? error.message : String(error);
  const unknown =
    error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  const usage = unknown || error instanceof UsageError;
  // Node's own explain themselves at length: their first sentence says it.
  const [line = ""] = message.split(unknown ? /\n|\. (?=[A-Z])/ : "\n");
  const more = commandNamed(name) === undefined ? "sluice --help" : `sluice ${name} --help`;
  console.error(usage ? `sluice: ${line} (${more})` : `sluice: ${line}`);
  return usage || error instanceof OptionError || error instanceof AddressError ? 2 : 1;
}

const args = process.argv.slice(2);
try {
  process.exitCode = await main(args);
} catch (error) {
  process.exitCode = fail(error, args[0]);
}
