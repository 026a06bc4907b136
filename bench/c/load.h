/*
 * What the load generator's parts agree on. load.c knows the workloads, the
 * clocks and the report; an engine (load-epoll.c, load-uring.c) moves the bytes.
 *
 * What is sent on a connection is one endless stream, pattern[position % PERIOD].
 * So an engine can send from, and load.c can compare with, static memory: what
 * the next byte must be is known from the position alone.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PERIOD = 251, /* a prime: lost or doubled blocks of any usual size are seen */
  CHUNK_BYTES = 256 * 1024, /* the most that one system call sends or receives */
};

extern uint8_t pattern[CHUNK_BYTES + PERIOD];

struct connection {
  int descriptor;
  int index;
  bool open;
  bool finished;      /* we have said that we send no more; an end of stream is expected */
  bool sending;       /* the engine has a send under way, or waits for room */
  uint64_t wanted;    /* stream position up to which the workload wants to have sent */
  uint64_t sent;      /* stream position up to which the kernel has taken it */
  uint64_t received;  /* stream position up to which the echo has come back */
  uint64_t messages;  /* whole messages echoed */
  uint64_t *sent_at;  /* a ring, one entry per message in flight; closed loop only */
  uint64_t opened_at; /* when the connection was asked for */
};

struct engine {
  const char *name;
  void (*start)(int connection_limit);
  void (*add)(struct connection *connection); /* from now on, receive */
  void (*flush)(struct connection *connection); /* send up to `wanted` */
  /* Takes the connection out; its descriptor may be closed when this returns. */
  void (*remove)(struct connection *connection);
  /* Waits at most so long (-1: for ever, 0: not at all), then calls the handlers. */
  void (*turn)(int64_t timeout_ns);
};

extern const struct engine epoll_engine, uring_engine;

/* The handlers, in load.c. */
void on_received(struct connection *connection, const uint8_t *bytes, size_t length);
void on_ended(struct connection *connection, int error); /* 0: end of stream */

_Noreturn void fail(const char *what, int error);

static inline size_t next_chunk(const struct connection *connection, const uint8_t **bytes) {
  uint64_t length = connection->wanted - connection->sent;
  *bytes = pattern + connection->sent % PERIOD;
  return length < CHUNK_BYTES ? (size_t)length : CHUNK_BYTES;
}

#endif
