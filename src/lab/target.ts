// Where the load goes: what people write, as an address with names resolved.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { OptionError } from "../limits.ts";
import type { Address } from "../sys/address.ts";

/** How an endpoint is written, to who has written something else. */
export function noEndpoint(text: string): string {
  return `"${text}" is no endpoint: HOST:PORT, [::1]:PORT, PORT or unix:/path`;
}

/**
 * HOST:PORT, [IPV6]:PORT, :PORT or PORT (of this machine), unix:PATH or unix:@NAME.
 * @throws OptionError for anything else, or a name that nobody knows
 */
export async function resolveTarget(text: string): Promise<Address> {
  if (text.startsWith("unix:")) {
    return { family: "unix", path: text.slice("unix:".length).replace(/^@/, "\0") };
  }
  const match = /^(?:\[([^\]]+)\]:|([^:]*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new OptionError(noEndpoint(text));
  }
  const host = match[1] ?? (match[2] || "127.0.0.1");
  const kind = isIP(host.split("%", 1)[0] ?? host);
  if (kind !== 0) return { family: kind === 4 ? "ipv4" : "ipv6", host, port };
  const { family, address } = await found(host);
  return { family: family === 4 ? "ipv4" : "ipv6", host: address, port };
}

async function found(host: string) {
  try {
    return await lookup(host);
  } catch {
    // Why a name is not known depends on the resolver, and says no more than this.
    throw new OptionError(`there is no host named ${host}`);
  }
}
