// The Linux ABI in numbers: constants, struct sizes and field offsets, for x64 and arm64.
//
// Why a file of its own: nothing else may spell a kernel number. `scripts/abi.ts` compiles a C program that
// prints each of these from the system's own headers, and a test compares the two, so that a slip of the
// pen here is found by a compiler and not by a corrupted socket.

import type { Architecture } from "./platform.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_PEERCRED = 17;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_DEFER_ACCEPT = 9;
export const TCP_INFO = 11;
export const TCP_QUICKACK = 12;
export const TCP_USER_TIMEOUT = 18;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

export const F_GETFD = 1;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const O_NONBLOCK = 0x800;
export const RLIMIT_NOFILE = 7;

export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLRDHUP = 0x2000;
export const SIZEOF_POLLFD = 8;
export const POLLFD_EVENTS = 4;
export const POLLFD_REVENTS = 6;
export const SIZEOF_TIMEVAL = 16;
export const TIMEVAL_USEC = 8;
export const SIZEOF_UCRED = 12;
export const PRIO_PROCESS = 0;
export const SCHED_ATTR_SIZE_VER0 = 48;
export const SCHED_ATTR_POLICY = 4;
export const SCHED_ATTR_RUNTIME = 24;
export const SCHED_OTHER = 0;

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
export const EPOLLEXCLUSIVE = 0x10000000;
export const EPOLLET = 0x80000000;
export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MADV_DONTNEED = 4;

export const SIZEOF_SOCKADDR_IN = 16;
export const SIZEOF_SOCKADDR_IN6 = 28;
export const SIZEOF_SOCKADDR_UN = 110;
export const SOCKADDR_IN6_ADDR = 8;
export const SOCKADDR_IN6_SCOPE = 24;
export const SOCKADDR_UN_PATH = 2;

export const SIZEOF_TCP_INFO = 104;
export const TCP_INFO_STATE = 0;
export const TCP_INFO_RETRANSMITS = 2;
export const TCP_INFO_SND_MSS = 16;
export const TCP_INFO_UNACKED = 24;
export const TCP_INFO_RTT = 68;
export const TCP_INFO_RTTVAR = 72;
export const TCP_INFO_SND_CWND = 80;
export const TCP_INFO_TOTAL_RETRANS = 100;

export const SIZEOF_IO_URING_PARAMS = 120;
export const PARAMS_SQ_ENTRIES = 0;
export const PARAMS_CQ_ENTRIES = 4;
export const PARAMS_FLAGS = 8;
export const PARAMS_FEATURES = 20;
export const PARAMS_SQ_OFF = 40;
export const PARAMS_CQ_OFF = 80;
export const SQ_OFF_HEAD = 0;
export const SQ_OFF_TAIL = 4;
export const SQ_OFF_MASK = 8;
export const SQ_OFF_FLAGS = 16;
export const SQ_OFF_ARRAY = 24;
export const CQ_OFF_HEAD = 0;
export const CQ_OFF_TAIL = 4;
export const CQ_OFF_MASK = 8;
export const CQ_OFF_OVERFLOW = 16;
export const CQ_OFF_CQES = 20;
export const SIZEOF_SQE = 64;
export const SIZEOF_CQE = 16;
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;
export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_FEAT_NODROP = 1 << 1;
export const IORING_FEAT_EXT_ARG = 1 << 8;
export const IORING_ENTER_GETEVENTS = 1 << 0;
export const IORING_ENTER_EXT_ARG = 1 << 3;
export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_TIMEOUT = 11;
export const IORING_OP_ACCEPT = 13;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_CONNECT = 16;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IORING_ACCEPT_MULTISHOT = 1 << 0;
export const IORING_POLL_ADD_MULTI = 1 << 0;
export const IORING_RECV_MULTISHOT = 1 << 1;
export const IOSQE_BUFFER_SELECT = 1 << 5;
export const IORING_CQE_F_BUFFER = 1 << 0;
export const IORING_CQE_F_MORE = 1 << 1;
export const IORING_CQE_BUFFER_SHIFT = 16;
export const IORING_ASYNC_CANCEL_ALL = 1 << 0;
export const IORING_ASYNC_CANCEL_FD = 1 << 1;
export const IORING_REGISTER_PBUF_RING = 22;
export const SIZEOF_IO_URING_BUF = 16;
export const SIZEOF_IO_URING_BUF_REG = 40;
export const SIZEOF_GETEVENTS_ARG = 24;
export const GETEVENTS_ARG_TS = 16;

export interface ArchitectureAbi {
  readonly SYS_epoll_ctl: number;
  readonly SYS_epoll_pwait: number;
  readonly SYS_recvfrom: number;
  readonly SYS_sendto: number;
  readonly SYS_accept4: number;
  readonly SYS_sched_setattr: number;
  readonly SYS_sched_getattr: number;
  readonly SYS_io_uring_setup: number;
  readonly SYS_io_uring_enter: number;
  readonly SYS_io_uring_register: number;
  /** struct epoll_event is packed on x86-64 only. */
  readonly SIZEOF_EPOLL_EVENT: number;
  readonly EPOLL_EVENT_DATA: number;
}

export const ABI: Readonly<Record<Architecture, ArchitectureAbi>> = {
  x64: {
    SYS_epoll_ctl: 233,
    SYS_epoll_pwait: 281,
    SYS_recvfrom: 45,
    SYS_sendto: 44,
    SYS_accept4: 288,
    SYS_sched_setattr: 314,
    SYS_sched_getattr: 315,
    SYS_io_uring_setup: 425,
    SYS_io_uring_enter: 426,
    SYS_io_uring_register: 427,
    SIZEOF_EPOLL_EVENT: 12,
    EPOLL_EVENT_DATA: 4,
  },
  arm64: {
    SYS_epoll_ctl: 21,
    SYS_epoll_pwait: 22,
    SYS_recvfrom: 207,
    SYS_sendto: 206,
    SYS_accept4: 242,
    SYS_sched_setattr: 274,
    SYS_sched_getattr: 275,
    SYS_io_uring_setup: 425,
    SYS_io_uring_enter: 426,
    SYS_io_uring_register: 427,
    SIZEOF_EPOLL_EVENT: 16,
    EPOLL_EVENT_DATA: 8,
  },
};
