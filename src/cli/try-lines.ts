// What `sluice serve` prints for people to try: lines that the served module brings as comments, what its protocol is asked
// with, or one with nc.
//
// A module says so itself, at its top: `// try: sluice call {address} echo 1`. `{address}` is where it listens,
// `{port}` its port. The module is read for that and not run: it runs in the threads.

import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Address, formatAddress } from "../sys/address.ts";

/** The command as it is called from where this runs: a checkout, or a project that has installed the package. */
const COMMAND = extname(import.meta.url) === ".ts" ? "npm run --silent sluice --" : "npx sluice";
const TRY = /^\/\/ try: (.+)$/gm;
/** The module takes service() from where it is defined: it speaks SWP/1. */
const SERVICE =
  /\bimport\s[^;]*\bservice\b[^;]*\bfrom\s+["'](?:sluice\/service|[^"']*\/service\/service\.[jt]s)["']/;
const ASK_SERVICE = ["sluice routes {address}", "sluice call {address} ROUTE BODY"];

export function tryLines(module: URL, address: Address): string[] {
  const source = readFileSync(fileURLToPath(module), "utf8");
  const own = [...source.matchAll(TRY)].map(([, line = ""]) => line);
  const lines = own.length === 0 && SERVICE.test(source) ? ASK_SERVICE : own;
  if (lines.length === 0) return [withNetcat(address)];
  const reachable = reachableAddress(address);
  const port = address.family === "unix" ? "" : String(address.port);
  return lines.map((line) =>
    line
      .replace(/^sluice /, `${COMMAND} `)
      .replaceAll("{address}", reachable)
      .replaceAll("{port}", port),
  );
}

function reachableAddress(address: Address): string {
  if (address.family === "unix") return `unix:${address.path}`;
  const { host } = address;
  return host === "::" || host === "0.0.0.0" ? `localhost:${address.port}` : formatAddress(address);
}

function withNetcat(address: Address): string {
  if (address.family === "unix") {
    const { path } = address;
    // nc has no way to name an abstract socket.
    if (path.startsWith("\0"))
      return `printf 'hello\\n' | socat - ABSTRACT-CONNECT:${path.slice(1)}`;
    return `printf 'hello\\n' | nc -U -q 1 ${path}`;
  }
  const host = address.host === "::" || address.host === "0.0.0.0" ? "localhost" : address.host;
  return `printf 'hello\\n' | nc -q 1 ${host} ${address.port}`;
}
