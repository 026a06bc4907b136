// Error numbers of Linux (asm-generic, the same on x64 and arm64): names, sentences, and destinies.
//
// Every wrapper in sys returns a count or −errno. What to do with an errno is decided in one place, here:
//   again      nothing is wrong, ask again later
//   operating  the world outside did it (peer, network, limits); the connection or the accept ends, the server goes on
//   bug        we passed something wrong; never to be survived silently

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EPIPE = 32;
export const ENOSYS = 38;
export const ETIME = 62;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const ENOTSOCK = 88;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EALREADY = 114;
export const EINPROGRESS = 115;
export const ECANCELED = 125;
export const ENOTSUP = 95;

export type Destiny = "again" | "operating" | "bug";

type Row = readonly [errno: number, name: string, text: string, destiny: Destiny];

const ROWS: readonly Row[] = [
  [EPERM, "EPERM", "operation not permitted", "operating"],
  [ENOENT, "ENOENT", "no such file or directory", "operating"],
  [EINTR, "EINTR", "interrupted by a signal", "again"],
  [EIO, "EIO", "input/output error", "operating"],
  [EBADF, "EBADF", "bad file descriptor", "bug"],
  [EAGAIN, "EAGAIN", "resource temporarily unavailable", "again"],
  [ENOMEM, "ENOMEM", "out of kernel memory", "operating"],
  [EACCES, "EACCES", "permission denied", "operating"],
  [EFAULT, "EFAULT", "bad address", "bug"],
  [EBUSY, "EBUSY", "resource busy", "again"],
  [EEXIST, "EEXIST", "already exists", "bug"],
  [EINVAL, "EINVAL", "invalid argument", "bug"],
  [ENFILE, "ENFILE", "the system's open file limit is reached", "operating"],
  [EMFILE, "EMFILE", "the process's open file limit is reached", "operating"],
  [EPIPE, "EPIPE", "the peer no longer reads", "operating"],
  [ENOSYS, "ENOSYS", "not implemented by this kernel", "operating"],
  [ETIME, "ETIME", "timer expired", "again"],
  [EPROTO, "EPROTO", "protocol error", "operating"],
  [EOVERFLOW, "EOVERFLOW", "value too large", "bug"],
  [ENOTSOCK, "ENOTSOCK", "not a socket", "bug"],
  [ENOTSUP, "ENOTSUP", "not supported", "operating"],
  [EADDRINUSE, "EADDRINUSE", "address already in use", "operating"],
  [EADDRNOTAVAIL, "EADDRNOTAVAIL", "this machine does not have that address", "operating"],
  [ENETDOWN, "ENETDOWN", "network is down", "operating"],
  [ENETUNREACH, "ENETUNREACH", "network is unreachable", "operating"],
  [ECONNABORTED, "ECONNABORTED", "connection aborted before it was accepted", "operating"],
  [ECONNRESET, "ECONNRESET", "connection reset by the peer", "operating"],
  [ENOBUFS, "ENOBUFS", "no buffer space", "operating"],
  [ENOTCONN, "ENOTCONN", "not connected", "operating"],
  [ETIMEDOUT, "ETIMEDOUT", "connection timed out", "operating"],
  [ECONNREFUSED, "ECONNREFUSED", "connection refused", "operating"],
  [EHOSTUNREACH, "EHOSTUNREACH", "no route to host", "operating"],
  [EALREADY, "EALREADY", "already in progress", "again"],
  [EINPROGRESS, "EINPROGRESS", "in progress", "again"],
  [ECANCELED, "ECANCELED", "cancelled", "operating"],
];

const BY_NUMBER = new Map(ROWS.map((row) => [row[0], row]));
const BY_NAME = new Map(ROWS.map((row) => [row[1], row[0]]));

/** `"ECONNRESET"` for 104 or −104; `"errno 999"` for one that has no name here. */
export function errnoName(errno: number): string {
  return BY_NUMBER.get(Math.abs(errno))?.[1] ?? `errno ${Math.abs(errno)}`;
}

/** A sentence for people: `"connection reset by the peer"`. */
export function errnoText(errno: number): string {
  return BY_NUMBER.get(Math.abs(errno))?.[2] ?? `unknown error ${Math.abs(errno)}`;
}

/** The number behind a name as node:net reports it (`error.code`), EIO for a name not known here. */
export function errnoOf(name: string | undefined): number {
  return (name === undefined ? undefined : BY_NAME.get(name)) ?? EIO;
}

/** What is to be done about an error; an unknown one is the world's, not ours. */
export function destinyOf(errno: number): Destiny {
  return BY_NUMBER.get(Math.abs(errno))?.[3] ?? "operating";
}

/** A failed call of the operating system. `code` is the errno's name, `errno` its (positive) number. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  readonly errno: number;
  readonly call: string;

  constructor(call: string, errno: number, subject?: string) {
    const about = subject === undefined ? call : `${call} ${subject}`;
    super(`${about}: ${errnoText(errno)} (${errnoName(errno)})`);
    this.code = errnoName(errno);
    this.errno = Math.abs(errno);
    this.call = call;
  }
}

/**
 * A wait in the kernel has answered with a count or with −errno: whether it was one, or is to be made again. EAGAIN stands for EINTR
 * here: what the engine does between a call and the look at its errno may have left its own (seen once, in 200 threads at
 * SIGTERM); the kernel answers none of these waits with it, or (io_uring_enter) means the same.
 * @throws SystemError for everything else
 */
export function assertWaited(call: string, count: number): void {
  if (count < 0 && destinyOf(count) !== "again") throw new SystemError(call, count);
}
