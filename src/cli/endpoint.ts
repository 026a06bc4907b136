// Endpoints as people write them on a command line: HOST:PORT, [::1]:PORT, PORT alone, unix:/path, unix:@abstract.

import { noEndpoint } from "../lab/target.ts";
import { UsageError } from "./command.ts";

/** Fits `serve` as well as `connect`. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

const LOOPBACK = "127.0.0.1";

/** @throws UsageError that says how an endpoint is written */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith("unix:") && text.length > "unix:".length) {
    return { path: text.slice("unix:".length).replace(/^@/, "\0") };
  }
  const match = /^(?:(?:\[(?<ipv6>[^\]]+)\]|(?<name>[^:]+)):)?(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65_535) {
    throw new UsageError(noEndpoint(text));
  }
  return { host: match.groups?.ipv6 ?? match.groups?.name ?? LOOPBACK, port };
}
