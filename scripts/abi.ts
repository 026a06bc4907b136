// `npm run abi`: holds src/sys/abi.ts against the C headers of this machine.
//
// A C program is written that prints each constant, size and offset named there, compiled with the system's compiler, run,
// and compared. What the headers of an older system do not define yet is left out, by name: it is listed, not skipped
// silently. The constants of io_uring are part of the kernel's ABI and never change once released.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as abi from "../src/sys/abi.ts";
import * as errno from "../src/sys/errno.ts";

const HEADERS = [
  "errno.h",
  "fcntl.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "stddef.h",
  "stdio.h",
  "poll.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/mman.h",
  "sys/resource.h",
  "sys/socket.h",
  "sys/syscall.h",
  "sys/time.h",
  "sys/un.h",
  "linux/io_uring.h",
  "linux/sched.h",
  "linux/sched/types.h",
];
/** The numbers of system calls on arm64, and on every architecture that came after it. */
const GENERIC_HEADERS = ["stdio.h", "asm-generic/unistd.h"];

/** Names in abi.ts that are not C's own: the expression that gives them. The others are macros or enum constants. */
const EXPRESSIONS: Readonly<Record<string, string>> = {
  SIZEOF_SOCKADDR_IN: "sizeof(struct sockaddr_in)",
  SIZEOF_SOCKADDR_IN6: "sizeof(struct sockaddr_in6)",
  SIZEOF_SOCKADDR_UN: "sizeof(struct sockaddr_un)",
  SOCKADDR_IN6_ADDR: "offsetof(struct sockaddr_in6, sin6_addr)",
  SOCKADDR_IN6_SCOPE: "offsetof(struct sockaddr_in6, sin6_scope_id)",
  SOCKADDR_UN_PATH: "offsetof(struct sockaddr_un, sun_path)",
  SIZEOF_TCP_INFO: "sizeof(struct tcp_info)",
  TCP_INFO_STATE: "offsetof(struct tcp_info, tcpi_state)",
  TCP_INFO_RETRANSMITS: "offsetof(struct tcp_info, tcpi_retransmits)",
  TCP_INFO_SND_MSS: "offsetof(struct tcp_info, tcpi_snd_mss)",
  TCP_INFO_UNACKED: "offsetof(struct tcp_info, tcpi_unacked)",
  TCP_INFO_RTT: "offsetof(struct tcp_info, tcpi_rtt)",
  TCP_INFO_RTTVAR: "offsetof(struct tcp_info, tcpi_rttvar)",
  TCP_INFO_SND_CWND: "offsetof(struct tcp_info, tcpi_snd_cwnd)",
  TCP_INFO_TOTAL_RETRANS: "offsetof(struct tcp_info, tcpi_total_retrans)",
  SIZEOF_IO_URING_PARAMS: "sizeof(struct io_uring_params)",
  PARAMS_SQ_ENTRIES: "offsetof(struct io_uring_params, sq_entries)",
  PARAMS_CQ_ENTRIES: "offsetof(struct io_uring_params, cq_entries)",
  PARAMS_FLAGS: "offsetof(struct io_uring_params, flags)",
  PARAMS_FEATURES: "offsetof(struct io_uring_params, features)",
  PARAMS_SQ_OFF: "offsetof(struct io_uring_params, sq_off)",
  PARAMS_CQ_OFF: "offsetof(struct io_uring_params, cq_off)",
  SQ_OFF_HEAD: "offsetof(struct io_sqring_offsets, head)",
  SQ_OFF_TAIL: "offsetof(struct io_sqring_offsets, tail)",
  SQ_OFF_MASK: "offsetof(struct io_sqring_offsets, ring_mask)",
  SQ_OFF_FLAGS: "offsetof(struct io_sqring_offsets, flags)",
  SQ_OFF_ARRAY: "offsetof(struct io_sqring_offsets, array)",
  CQ_OFF_HEAD: "offsetof(struct io_cqring_offsets, head)",
  CQ_OFF_TAIL: "offsetof(struct io_cqring_offsets, tail)",
  CQ_OFF_MASK: "offsetof(struct io_cqring_offsets, ring_mask)",
  CQ_OFF_OVERFLOW: "offsetof(struct io_cqring_offsets, overflow)",
  CQ_OFF_CQES: "offsetof(struct io_cqring_offsets, cqes)",
  SIZEOF_SQE: "sizeof(struct io_uring_sqe)",
  SIZEOF_CQE: "sizeof(struct io_uring_cqe)",
  SIZEOF_IO_URING_BUF: "sizeof(struct io_uring_buf)",
  SIZEOF_IO_URING_BUF_REG: "sizeof(struct io_uring_buf_reg)",
  SIZEOF_GETEVENTS_ARG: "sizeof(struct io_uring_getevents_arg)",
  GETEVENTS_ARG_TS: "offsetof(struct io_uring_getevents_arg, ts)",
  SIZEOF_POLLFD: "sizeof(struct pollfd)",
  POLLFD_EVENTS: "offsetof(struct pollfd, events)",
  POLLFD_REVENTS: "offsetof(struct pollfd, revents)",
  SCHED_OTHER: "SCHED_NORMAL",
  SCHED_ATTR_POLICY: "offsetof(struct sched_attr, sched_policy)",
  SCHED_ATTR_RUNTIME: "offsetof(struct sched_attr, sched_runtime)",
  SIZEOF_TIMEVAL: "sizeof(struct timeval)",
  TIMEVAL_USEC: "offsetof(struct timeval, tv_usec)",
  SIZEOF_UCRED: "sizeof(struct ucred)",
  SIZEOF_EPOLL_EVENT: "sizeof(struct epoll_event)",
  EPOLL_EVENT_DATA: "offsetof(struct epoll_event, data)",
};

/** Enum constants: C cannot ask whether they are defined, but all are older than the headers that are needed. */
const ENUM = /^IORING_OP_|^IORING_REGISTER_|^IORING_CQE_BUFFER_SHIFT$/;

/**
 * Fields that the code writes by numbers of its own (src/driver/uring-ring.ts, buffer-pool.ts, src/sys/address.ts). They stand
 * here a second time, on purpose.
 */
const LAYOUTS: Readonly<Record<string, number>> = {
  "offsetof(struct sockaddr_in, sin_port)": 2,
  "offsetof(struct sockaddr_in, sin_addr)": 4,
  "offsetof(struct sockaddr_in6, sin6_port)": 2,
  "offsetof(struct io_uring_sqe, opcode)": 0,
  "offsetof(struct io_uring_sqe, flags)": 1,
  "offsetof(struct io_uring_sqe, ioprio)": 2,
  "offsetof(struct io_uring_sqe, fd)": 4,
  "offsetof(struct io_uring_sqe, off)": 8,
  "offsetof(struct io_uring_sqe, addr)": 16,
  "offsetof(struct io_uring_sqe, len)": 24,
  "offsetof(struct io_uring_sqe, msg_flags)": 28,
  "offsetof(struct io_uring_sqe, user_data)": 32,
  "offsetof(struct io_uring_sqe, buf_group)": 40,
  "offsetof(struct io_uring_cqe, user_data)": 0,
  "offsetof(struct io_uring_cqe, res)": 8,
  "offsetof(struct io_uring_cqe, flags)": 12,
  "offsetof(struct io_uring_buf, addr)": 0,
  "offsetof(struct io_uring_buf, len)": 8,
  "offsetof(struct io_uring_buf, bid)": 12,
  "offsetof(struct io_uring_buf, resv)": 14,
  "offsetof(struct io_uring_buf_reg, ring_addr)": 0,
  "offsetof(struct io_uring_buf_reg, ring_entries)": 8,
  "offsetof(struct io_uring_buf_reg, bgid)": 12,
  "sizeof(struct rlimit)": 16,
  "sizeof(struct linger)": 8,
  "sizeof(int)": 4,
};

export interface AbiReport {
  /** How many numbers were held against the headers. */
  readonly compared: number;
  /** A sentence for each that differs. */
  readonly wrong: readonly string[];
  /** What these headers do not define. */
  readonly unknown: readonly string[];
}

/** The numbers that src/sys states for this architecture, by C expression. */
export function statedNumbers(): ReadonlyMap<string, number> {
  const { ABI, ...constants } = abi;
  const architecture = process.arch === "arm64" ? ABI.arm64 : ABI.x64;
  const numbers = new Map<string, number>(Object.entries(LAYOUTS));
  for (const [name, value] of Object.entries({ ...constants, ...architecture })) {
    numbers.set(EXPRESSIONS[name] ?? name, value);
  }
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value === "number") numbers.set(name, value);
  }
  return numbers;
}

/** The numbers of system calls as arm64 has them: its table is the generic one, whose header every machine has. */
export function statedGenericNumbers(): ReadonlyMap<string, number> {
  const rows = Object.entries(abi.ABI.arm64).filter(([name]) => name.startsWith("SYS_"));
  return new Map(rows.map(([name, value]) => [name.replace("SYS_", "__NR_"), value]));
}

/** Why nothing can be compiled here, or undefined when it can. */
export function compilerRefusal(): string | undefined {
  if (process.platform !== "linux") return `the ABI is Linux's, this is ${process.platform}`;
  try {
    execFileSync("cc", ["--version"], { stdio: "pipe" });
    return undefined;
  } catch {
    // Not there, or not working: the same to us.
    return "there is no C compiler (cc)";
  }
}

/** Compares numbers, by C expression, with what the compiler says. */
export function compareAbi(stated: ReadonlyMap<string, number>): AbiReport {
  return compare(stated, HEADERS);
}

/** As `compareAbi`, against the generic table of system calls. */
export function compareGeneric(stated: ReadonlyMap<string, number>): AbiReport {
  return compare(stated, GENERIC_HEADERS);
}

function compare(stated: ReadonlyMap<string, number>, headers: readonly string[]): AbiReport {
  const defined = readNumbers([...stated.keys()], headers);
  const wrong: string[] = [];
  const unknown: string[] = [];
  for (const [expression, number] of stated) {
    const real = defined.get(expression);
    if (real === undefined) unknown.push(expression);
    else if (real !== number) wrong.push(`${expression} is ${real}, we say ${number}`);
  }
  return { compared: stated.size - unknown.length, wrong, unknown };
}

function readNumbers(
  expressions: readonly string[],
  headers: readonly string[],
): Map<string, number> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-abi-"));
  try {
    writeFileSync(join(folder, "abi.c"), program(expressions, headers));
    execFileSync("cc", ["-o", join(folder, "abi"), join(folder, "abi.c")], { stdio: "pipe" });
    const printed = execFileSync(join(folder, "abi"), { encoding: "utf8" });
    const rows = printed
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
    return new Map(rows.map(([name = "", value]) => [name, Number(value)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function program(expressions: readonly string[], headers: readonly string[]): string {
  const prints = expressions.map((expression) => {
    const print = `  printf("%s\\t%lld\\n", "${expression}", (long long)(${expression}));`;
    const certain = /[( ]/.test(expression) || ENUM.test(expression);
    return certain ? print : `#ifdef ${expression}\n${print}\n#endif`;
  });
  return [
    "#define _GNU_SOURCE",
    ...headers.map((header) => `#include <${header}>`),
    "int main(void) {",
    ...prints,
    "  return 0;",
    "}",
    "",
  ].join("\n");
}

if (import.meta.main) {
  const refused = compilerRefusal();
  if (refused !== undefined) throw new Error(refused);
  const reports = [compareAbi(statedNumbers()), compareGeneric(statedGenericNumbers())];
  for (const sentence of reports.flatMap(({ wrong }) => wrong)) {
    console.error(sentence);
    process.exitCode = 1;
  }
  const unknown = reports.flatMap((report) => report.unknown);
  if (unknown.length > 0) console.log(`not in these headers: ${unknown.join(", ")}`);
  const [own, generic] = reports.map(({ compared }) => compared);
  console.log(`compared ${own} numbers of ${process.arch} and ${generic} calls of arm64`);
}
