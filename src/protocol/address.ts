// HOST:PORT, as GOAWAY names another address: an IPv6 address stands in brackets.

export interface HostAndPort {
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** A name in DNS has 253 bytes at the most. */
const MOST_BYTES = 262;

/** Undefined for what is not HOST:PORT. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  if (text.length > MOST_BYTES) return undefined;
  const match = /^(?:\[(?<ipv6>[\da-fA-F:.]+)\]|(?<name>[\w.-]+)):(?<port>\d{1,5})$/.exec(text);
  const host = match?.groups?.ipv6 ?? match?.groups?.name;
  const port = Number(match?.groups?.port);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}
