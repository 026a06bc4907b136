// Sockets: one thin function per call. Each returns a count, a descriptor or 0, or −errno, and never throws
// for what the kernel says. Every descriptor made here is close-on-exec.

import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  F_GETFD,
  F_GETFL,
  F_SETFL,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  O_NONBLOCK,
  RLIMIT_NOFILE,
  SHUT_RDWR,
  SHUT_WR,
  SIZEOF_TCP_INFO,
  SIZEOF_TIMEVAL,
  SIZEOF_UCRED,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_PEERCRED,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
  TCP_INFO,
  TCP_INFO_RETRANSMITS,
  TCP_INFO_RTT,
  TCP_INFO_RTTVAR,
  TCP_INFO_SND_CWND,
  TCP_INFO_SND_MSS,
  TCP_INFO_STATE,
  TCP_INFO_TOTAL_RETRANS,
  TCP_INFO_UNACKED,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
  TIMEVAL_USEC,
} from "./abi.ts";
import { type Address, readSockaddr, writeSockaddr } from "./address.ts";
import { EINTR, ENOTSUP } from "./errno.ts";
import { nativeLibrary } from "./native-library.ts";
import { NativeMemory, PAGE } from "./native-memory.ts";

/** Options of a socket, by the names of socket(7), tcp(7) and ipv6(7). What is not named stays as the system has it. */
export interface SocketOptions {
  /** TCP_NODELAY: small writes leave at once. */
  readonly noDelay?: boolean;
  /** SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL (seconds, 1 to 32767) and TCP_KEEPCNT (1 to 127). */
  readonly keepAlive?: KeepAlive | false;
  /** TCP_USER_TIMEOUT in ms: sent bytes unacknowledged for so long end the connection. */
  readonly userTimeoutMs?: number;
  /** SO_REUSEADDR: a port in TIME_WAIT can be bound again. */
  readonly reuseAddress?: boolean;
  /** SO_REUSEPORT: several sockets share the port. Closing one of them resets what is queued on it. */
  readonly reusePort?: boolean;
  /** SO_RCVBUF in bytes; the kernel doubles it and bounds it by net.core.rmem_max. */
  readonly receiveBufferBytes?: number;
  /** SO_SNDBUF in bytes; the kernel doubles it and bounds it by net.core.wmem_max. */
  readonly sendBufferBytes?: number;
  /** TCP_DEFER_ACCEPT in seconds: accept only once bytes have come. */
  readonly deferAcceptSeconds?: number;
  /** TCP_QUICKACK: acknowledge at once; not permanent (tcp(7)). */
  readonly quickAck?: boolean;
  /** IPV6_V6ONLY: false makes an IPv6 listener take IPv4 as well (dual stack). */
  readonly ipv6Only?: boolean;
  /** SO_LINGER with time 0: closing sends a reset and drops what was not sent. */
  readonly resetOnClose?: boolean;
}

export interface KeepAlive {
  readonly idleSeconds: number;
  readonly intervalSeconds: number;
  readonly count: number;
}

/** What TCP_INFO tells of a connection (tcp(7)); times in µs. */
export interface TcpInfo {
  readonly state: number;
  readonly roundTripUs: number;
  readonly roundTripVarianceUs: number;
  readonly retransmits: number;
  readonly totalRetransmits: number;
  readonly unacknowledged: number;
  readonly congestionWindow: number;
  readonly segmentBytes: number;
}

const FAMILIES = { ipv4: AF_INET, ipv6: AF_INET6, unix: AF_UNIX } as const;
/** Where a getsockname's length lies in the scratch page; the sockaddr stands at 0. */
const LENGTH_AT = 512;

let page: NativeMemory | undefined;
/** This thread's scratch page: arguments of the call in progress. */
export function scratch(): NativeMemory {
  page ??= NativeMemory.allocate(PAGE);
  return page;
}

function result(value: number): number {
  return value < 0 ? -(nativeLibrary().errno[0] ?? 0) : value;
}

/** socket(2): a stream socket. Blocking ones are for io_uring, which answers EAGAIN for the others. */
export function openSocket(family: Address["family"], nonBlocking: boolean): number {
  const type = SOCK_STREAM | SOCK_CLOEXEC | (nonBlocking ? SOCK_NONBLOCK : 0);
  return result(nativeLibrary().socket(FAMILIES[family], type, 0));
}

/** Throws before anything is opened. @throws AddressError when the address cannot be written as a sockaddr */
export function assertAddress(address: Address): void {
  writeSockaddr(address, scratch(), 0);
}

/** bind(2). @throws AddressError when the address cannot be written as a sockaddr */
export function bindSocket(descriptor: number, address: Address): number {
  const length = writeSockaddr(address, scratch(), 0);
  return result(nativeLibrary().bind(descriptor, scratch().at(0, length), length));
}

/** listen(2); the kernel bounds the backlog by net.core.somaxconn. */
export function listenSocket(descriptor: number, backlog: number): number {
  return result(nativeLibrary().listen(descriptor, backlog));
}

/** connect(2): 0, or −EINPROGRESS on a non-blocking socket. */
export function connectSocket(descriptor: number, address: Address): number {
  const length = writeSockaddr(address, scratch(), 0);
  return result(nativeLibrary().connect(descriptor, scratch().at(0, length), length));
}

/** shutdown(2) for writing: the peer reads the end of the stream. */
export function shutdownWrite(descriptor: number): number {
  return result(nativeLibrary().shutdown(descriptor, SHUT_WR));
}

/** shutdown(2) both ways. */
export function shutdownBoth(descriptor: number): number {
  return result(nativeLibrary().shutdown(descriptor, SHUT_RDWR));
}

/** close(2). Never repeated at EINTR: Linux has closed the descriptor by then. */
export function closeDescriptor(descriptor: number): number {
  const closed = result(nativeLibrary().close(descriptor));
  return closed === -EINTR ? 0 : closed;
}

/** getsockname(2). */
export function localAddress(descriptor: number): Address | number {
  return nameOf(descriptor, false);
}

/** getpeername(2). */
export function remoteAddress(descriptor: number): Address | number {
  return nameOf(descriptor, true);
}

function nameOf(descriptor: number, peer: boolean): Address | number {
  const memory = scratch();
  const library = nativeLibrary();
  memory.bytes.writeUInt32LE(128, LENGTH_AT);
  const call = peer ? library.getpeername : library.getsockname;
  const failed = result(call(descriptor, memory.at(0, 128), memory.at(LENGTH_AT, 4)));
  return failed < 0 ? failed : readSockaddr(memory, 0, memory.bytes.readUInt32LE(LENGTH_AT));
}

/** setsockopt(2) with an int. */
export function setOption(descriptor: number, level: number, name: number, value: number): number {
  const memory = scratch();
  memory.bytes.writeInt32LE(value, 0);
  return result(nativeLibrary().setsockopt(descriptor, level, name, memory.at(0, 4), 4));
}

/** getsockopt(2) with an int: its value, or −errno. (No option read here is ever negative.) */
export function getOption(descriptor: number, level: number, name: number): number {
  const memory = scratch();
  memory.bytes.writeUInt32LE(4, LENGTH_AT);
  const library = nativeLibrary();
  const at = memory.at(LENGTH_AT, 4);
  const failed = result(library.getsockopt(descriptor, level, name, memory.at(0, 4), at));
  return failed < 0 ? failed : memory.bytes.readInt32LE(0);
}

/** SO_ERROR: the pending error of a socket as a positive errno (reading it clears it), or −errno. */
export function pendingError(descriptor: number): number {
  return getOption(descriptor, SOL_SOCKET, SO_ERROR);
}

/** Sets what `options` names; 0, or the first −errno. On a listener they pass to what it accepts (tcp(7)). */
export function setSocketOptions(
  descriptor: number,
  family: Address["family"],
  options: SocketOptions,
): number {
  for (const [level, name, value] of optionRows(family, options)) {
    const failed = setOption(descriptor, level, name, value);
    if (failed < 0) return failed;
  }
  if (options.resetOnClose !== undefined) return setLinger(descriptor, options.resetOnClose);
  return 0;
}

type OptionRow = readonly [level: number, name: number, value: number];

function optionRows(family: Address["family"], options: SocketOptions): OptionRow[] {
  const rows: OptionRow[] = [];
  const add = (level: number, name: number, value: number | boolean | undefined) => {
    if (value !== undefined) rows.push([level, name, Number(value)]);
  };
  add(SOL_SOCKET, SO_REUSEADDR, options.reuseAddress);
  add(SOL_SOCKET, SO_RCVBUF, options.receiveBufferBytes);
  add(SOL_SOCKET, SO_SNDBUF, options.sendBufferBytes);
  if (family === "unix") return rows;
  add(SOL_SOCKET, SO_REUSEPORT, options.reusePort);
  if (family === "ipv6") add(IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only);
  add(IPPROTO_TCP, TCP_NODELAY, options.noDelay);
  add(IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
  add(IPPROTO_TCP, TCP_DEFER_ACCEPT, options.deferAcceptSeconds);
  add(IPPROTO_TCP, TCP_QUICKACK, options.quickAck);
  if (options.keepAlive === false) add(SOL_SOCKET, SO_KEEPALIVE, 0);
  if (options.keepAlive) {
    add(SOL_SOCKET, SO_KEEPALIVE, 1);
    add(IPPROTO_TCP, TCP_KEEPIDLE, options.keepAlive.idleSeconds);
    add(IPPROTO_TCP, TCP_KEEPINTVL, options.keepAlive.intervalSeconds);
    add(IPPROTO_TCP, TCP_KEEPCNT, options.keepAlive.count);
  }
  return rows;
}

/** SO_LINGER with time 0: closing resets the connection. */
export function setLinger(descriptor: number, resetOnClose: boolean): number {
  const memory = scratch();
  memory.bytes.writeInt32LE(resetOnClose ? 1 : 0, 0);
  memory.bytes.writeInt32LE(0, 4);
  const at = memory.at(0, 8);
  return result(nativeLibrary().setsockopt(descriptor, SOL_SOCKET, SO_LINGER, at, 8));
}

/**
 * SO_RCVTIMEO and SO_SNDTIMEO: how long a blocking read, accept, write or connect may take, in ms. It then answers
 * −EAGAIN, or how much it had moved (socket(7)); a connect −EINPROGRESS.
 */
export function setTimeouts(descriptor: number, ms: number): number {
  const memory = scratch();
  memory.bytes.writeBigInt64LE(BigInt(Math.floor(ms / 1000)), 0);
  memory.bytes.writeBigInt64LE(BigInt(Math.round((ms % 1000) * 1000)), TIMEVAL_USEC);
  const at = memory.at(0, SIZEOF_TIMEVAL);
  const library = nativeLibrary();
  for (const name of [SO_RCVTIMEO, SO_SNDTIMEO]) {
    const failed = result(library.setsockopt(descriptor, SOL_SOCKET, name, at, SIZEOF_TIMEVAL));
    if (failed < 0) return failed;
  }
  return 0;
}

/** TCP_INFO, or −errno (−ENOTSUP's kin on a Unix socket). */
export function tcpInfo(descriptor: number): TcpInfo | number {
  const memory = scratch();
  memory.bytes.fill(0, 0, SIZEOF_TCP_INFO);
  memory.bytes.writeUInt32LE(SIZEOF_TCP_INFO, LENGTH_AT);
  const library = nativeLibrary();
  const into = memory.at(0, SIZEOF_TCP_INFO);
  const length = memory.at(LENGTH_AT, 4);
  const failed = result(library.getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, into, length));
  if (failed < 0) return failed;
  const { bytes } = memory;
  return {
    state: bytes.readUInt8(TCP_INFO_STATE),
    roundTripUs: bytes.readUInt32LE(TCP_INFO_RTT),
    roundTripVarianceUs: bytes.readUInt32LE(TCP_INFO_RTTVAR),
    retransmits: bytes.readUInt8(TCP_INFO_RETRANSMITS),
    totalRetransmits: bytes.readUInt32LE(TCP_INFO_TOTAL_RETRANS),
    unacknowledged: bytes.readUInt32LE(TCP_INFO_UNACKED),
    congestionWindow: bytes.readUInt32LE(TCP_INFO_SND_CWND),
    segmentBytes: bytes.readUInt32LE(TCP_INFO_SND_MSS),
  };
}

/** A process at the other end of a Unix socket, as it was when it connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** SO_PEERCRED (unix(7)), or −errno; −ENOTSUP where there is no such process, as on TCP. */
export function peerCredentials(descriptor: number): PeerCredentials | number {
  const memory = scratch();
  memory.bytes.fill(0, 0, SIZEOF_UCRED);
  memory.bytes.writeUInt32LE(SIZEOF_UCRED, LENGTH_AT);
  const into = memory.at(0, SIZEOF_UCRED);
  const length = memory.at(LENGTH_AT, 4);
  const library = nativeLibrary();
  const failed = result(library.getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, into, length));
  if (failed < 0) return failed;
  const { bytes } = memory;
  const pid = bytes.readInt32LE(0);
  if (pid === 0) return -ENOTSUP;
  return { pid, uid: bytes.readUInt32LE(4), gid: bytes.readUInt32LE(8) };
}

/** fcntl(2) O_NONBLOCK. */
export function setNonBlocking(descriptor: number, nonBlocking: boolean): number {
  const library = nativeLibrary();
  const flags = result(library.fcntl(descriptor, F_GETFL, 0));
  if (flags < 0) return flags;
  const wanted = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted === flags ? 0 : result(library.fcntl(descriptor, F_SETFL, wanted));
}

/** fcntl(2) F_GETFD: the descriptor's flags (FD_CLOEXEC), or −EBADF. */
export function descriptorFlags(descriptor: number): number {
  return result(nativeLibrary().fcntl(descriptor, F_GETFD, 0));
}

/** eventfd(2), non-blocking. */
export function openEventfd(): number {
  return result(nativeLibrary().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/** Adds one to an eventfd: whoever polls it wakes. Thread-safe. */
export function signalEventfd(descriptor: number): number {
  const memory = scratch();
  memory.bytes.writeBigUInt64LE(1n, 0);
  return result(nativeLibrary().write(descriptor, memory.at(0, 8), 8));
}

/** Sets an eventfd back to zero; −EAGAIN when it was. */
export function drainEventfd(descriptor: number): number {
  return result(nativeLibrary().read(descriptor, scratch().at(0, 8), 8));
}

/** RLIMIT_NOFILE: how many descriptors this process may open. */
export function descriptorLimit(): { readonly soft: number; readonly hard: number } | number {
  const memory = scratch();
  const failed = result(nativeLibrary().getrlimit(RLIMIT_NOFILE, memory.at(0, 16)));
  if (failed < 0) return failed;
  const soft = Number(memory.bytes.readBigUInt64LE(0));
  return { soft, hard: Number(memory.bytes.readBigUInt64LE(8)) };
}
