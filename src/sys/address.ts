// Socket addresses: as people write them, as objects, and as the kernel's sockaddr bytes.
//
// One scratch page per thread holds the sockaddr of the call in progress; nothing keeps a pointer to it.

import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SIZEOF_SOCKADDR_IN,
  SIZEOF_SOCKADDR_IN6,
  SIZEOF_SOCKADDR_UN,
  SOCKADDR_IN6_ADDR,
  SOCKADDR_IN6_SCOPE,
  SOCKADDR_UN_PATH,
} from "./abi.ts";
import { nativeLibrary } from "./native-library.ts";
import type { NativeMemory } from "./native-memory.ts";

/** An IPv4 or IPv6 endpoint. `host` is numeric, an IPv6 zone as in `fe80::1%eth0`. */
export interface InternetAddress {
  readonly family: "ipv4" | "ipv6";
  readonly host: string;
  readonly port: number;
}

/** A Unix socket. A path that begins with NUL names an abstract socket (unix(7)); empty: unnamed. */
export interface UnixAddress {
  readonly family: "unix";
  readonly path: string;
}

export type Address = InternetAddress | UnixAddress;

/** `127.0.0.1:7000`, `[::1]:7000`, `unix:/run/x.sock`, `unix:@abstract`. */
export function formatAddress(address: Address): string {
  if (address.family === "unix") {
    const { path } = address;
    return path.startsWith("\0") ? `unix:@${path.slice(1)}` : `unix:${path}`;
  }
  const host = address.family === "ipv6" ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Whom an address belongs to, as far as can be told: an IPv4 address by itself, also one that is written in IPv6; of IPv6 the
 * network of 64 bits, since whoever has one address there has all of them. For counting what strangers do.
 */
export function networkOf({ family, host }: InternetAddress): string {
  if (family === "ipv4") return host;
  const [mapped] = host.match(/(?<=^::ffff:)[\d.]+$/i) ?? [];
  if (mapped !== undefined) return mapped;
  const [plain = "", zone] = host.split("%");
  const [front, back] = plain.split("::").map((part) => (part === "" ? [] : part.split(":")));
  // What "::" stands for; IPv4 at the end is as long as two groups.
  const length = (front?.length ?? 0) + (back?.length ?? 0) + (plain.includes(".") ? 1 : 0);
  const groups = [
    ...(front ?? []),
    ...Array<string>(Math.max(0, 8 - length)).fill("0"),
    ...(back ?? []),
  ];
  return `${groups.slice(0, 4).join(":")}::/64${zone === undefined ? "" : `%${zone}`}`;
}

/** An address that cannot be written as a sockaddr; the message says why. */
export class AddressError extends Error {
  override readonly name = "AddressError";
  readonly code = "EINVAL";
}

/**
 * Writes `address` into `memory` at `offset` and returns the sockaddr's length.
 * @throws AddressError for a host that is not numeric, a port out of range, or a path over 107 bytes
 */
export function writeSockaddr(address: Address, memory: NativeMemory, offset: number): number {
  const bytes = memory.bytes;
  if (address.family === "unix") return writeUnix(address.path, bytes, offset);
  if (!Number.isInteger(address.port) || address.port < 0 || address.port > 65_535) {
    throw new AddressError(`port ${address.port} is not between 0 and 65535`);
  }
  const size = address.family === "ipv4" ? SIZEOF_SOCKADDR_IN : SIZEOF_SOCKADDR_IN6;
  const field = address.family === "ipv4" ? 4 : SOCKADDR_IN6_ADDR;
  const family = address.family === "ipv4" ? AF_INET : AF_INET6;
  bytes.fill(0, offset, offset + size);
  bytes.writeUInt16LE(family, offset);
  bytes.writeUInt16BE(address.port, offset + 2);
  const { host, zone } = splitZone(address);
  const library = nativeLibrary();
  // C ends a string at its first NUL: what stands behind it would go unread.
  const readable = !address.host.includes("\0");
  if (!readable || library.inet_pton(family, host, memory.at(offset + field, size - field)) !== 1) {
    throw new AddressError(
      `${JSON.stringify(address.host)} is not a numeric ${address.family} address`,
    );
  }
  if (zone !== undefined) bytes.writeUInt32LE(zoneIndex(zone), offset + SOCKADDR_IN6_SCOPE);
  return size;
}

/** An IPv6 address may name its link, as in `fe80::1%eth0`. */
function splitZone(address: InternetAddress): { readonly host: string; readonly zone?: string } {
  const percent = address.family === "ipv6" ? address.host.indexOf("%") : -1;
  if (percent < 0) return { host: address.host };
  return { host: address.host.slice(0, percent), zone: address.host.slice(percent + 1) };
}

/** Reads a sockaddr of `length` bytes as the kernel wrote it. */
export function readSockaddr(memory: NativeMemory, offset: number, length: number): Address {
  const bytes = memory.bytes;
  const family = length >= 2 ? bytes.readUInt16LE(offset) : AF_UNIX;
  if (family === AF_UNIX) return { family: "unix", path: readUnixPath(bytes, offset, length) };
  const port = bytes.readUInt16BE(offset + 2);
  if (family === AF_INET) {
    const host = `${bytes[offset + 4]}.${bytes[offset + 5]}.${bytes[offset + 6]}.${bytes[offset + 7]}`;
    return { family: "ipv4", host, port };
  }
  return { family: "ipv6", host: readIpv6(memory, offset), port };
}

function writeUnix(path: string, bytes: Buffer, offset: number): number {
  const length = Buffer.byteLength(path);
  const room = SIZEOF_SOCKADDR_UN - SOCKADDR_UN_PATH - 1;
  if (length === 0 || length > room) {
    throw new AddressError(`a Unix socket's path has 1 to ${room} bytes, this one has ${length}`);
  }
  if (path === "\0")
    throw new AddressError("an abstract name has at least one byte behind its NUL");
  if (!path.startsWith("\0") && path.includes("\0")) {
    throw new AddressError("a Unix socket's path has no NUL; one in front makes a name abstract");
  }
  bytes.fill(0, offset, offset + SIZEOF_SOCKADDR_UN);
  bytes.writeUInt16LE(AF_UNIX, offset);
  bytes.write(path, offset + SOCKADDR_UN_PATH);
  // A path in the file system ends with NUL; an abstract name is exactly as long as stated.
  return SOCKADDR_UN_PATH + length + (path.startsWith("\0") ? 0 : 1);
}

function readUnixPath(bytes: Buffer, offset: number, length: number): string {
  const start = offset + SOCKADDR_UN_PATH;
  const end = offset + Math.min(Math.max(length, SOCKADDR_UN_PATH), SIZEOF_SOCKADDR_UN);
  if (start >= end || bytes[start] === 0) return bytes.toString("utf8", start, end);
  const nul = bytes.indexOf(0, start);
  return bytes.toString("utf8", start, nul < 0 || nul > end ? end : nul);
}

function readIpv6(memory: NativeMemory, offset: number): string {
  const text = offset + 256;
  const library = nativeLibrary();
  library.inet_ntop(AF_INET6, memory.at(offset + SOCKADDR_IN6_ADDR, 16), memory.at(text, 64), 64);
  const host = memory.bytes.toString("latin1", text, memory.bytes.indexOf(0, text));
  const scope = memory.bytes.readUInt32LE(offset + SOCKADDR_IN6_SCOPE);
  return scope === 0 ? host : `${host}%${scope}`;
}

function zoneIndex(zone: string): number {
  if (/^\d+$/.test(zone) && Number(zone) <= 0xffff_ffff) return Number(zone);
  const index = nativeLibrary().if_nametoindex(zone);
  if (index === 0) throw new AddressError(`no network interface is named ${JSON.stringify(zone)}`);
  return index;
}
