/*
 * The load generator's engine on io_uring, so that the generator costs no more
 * than the servers it has to keep busy: multishot receives into provided buffers,
 * and all sends of a turn handed over with one system call.
 *
 * Cookies are the operation and the connection's index with a generation: after
 * remove(), completions of the old owner of a slot are told apart and dropped.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
  QUEUE_ENTRIES = 4096,
  BUFFER_COUNT = 1024,
  BUFFER_BYTES = 16384,
  BUFFER_STRIDE = BUFFER_BYTES + 64, /* see echo-uring.c */
  OPERATION_SHIFT = 60,
  INDEX_BITS = 24,
};

enum operation { RECEIVE = 1, SEND, CANCEL };

/* What the engine knows of a slot beside the connection that is in it now. */
struct slot {
  struct connection *connection; /* NULL: none */
  uint32_t generation;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static uint8_t *buffers;
static struct slot *slots;
static int slot_count;
static int *starved; /* indexes of connections whose receive found no buffer */
static int starved_count;

static void start(int connection_limit) {
  struct io_uring_params params = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
               IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
      .cq_entries = 4 * QUEUE_ENTRIES,
  };
  int result = io_uring_queue_init_params(QUEUE_ENTRIES, &ring, &params);
  if (result < 0) fail("io_uring_setup", -result);
  result = io_uring_register_ring_fd(&ring);
  if (result < 0) fail("register ring", -result);
  size_t ring_bytes = BUFFER_COUNT * sizeof(struct io_uring_buf);
  size_t bytes = ring_bytes + (size_t)BUFFER_COUNT * BUFFER_STRIDE;
  uint8_t *memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap", errno);
  buffer_ring = (struct io_uring_buf_ring *)memory;
  buffers = memory + ring_bytes;
  struct io_uring_buf_reg registration = {
      .ring_addr = (uint64_t)(uintptr_t)buffer_ring, .ring_entries = BUFFER_COUNT, .bgid = 0};
  result = io_uring_register_buf_ring(&ring, &registration, 0);
  if (result < 0) fail("register buffer ring", -result);
  io_uring_buf_ring_init(buffer_ring);
  for (int i = 0; i < BUFFER_COUNT; i++) {
    io_uring_buf_ring_add(buffer_ring, buffers + (size_t)i * BUFFER_STRIDE, BUFFER_BYTES,
                          (unsigned short)i, BUFFER_COUNT - 1, i);
  }
  io_uring_buf_ring_advance(buffer_ring, BUFFER_COUNT);
  slot_count = connection_limit;
  slots = calloc((size_t)connection_limit, sizeof *slots);
  starved = calloc((size_t)connection_limit, sizeof *starved);
  if (slots == NULL || starved == NULL) fail("calloc", errno);
}

static struct io_uring_sqe *next_entry(void) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
  if (entry == NULL) {
    int result = io_uring_submit(&ring);
    if (result < 0) fail("submit", -result);
    entry = io_uring_get_sqe(&ring);
    if (entry == NULL) fail("submission queue", ENOSPC);
  }
  return entry;
}

static uint64_t cookie(enum operation operation, int index) {
  return (uint64_t)operation << OPERATION_SHIFT |
         (uint64_t)slots[index].generation << INDEX_BITS | (uint64_t)index;
}

static void tag(struct io_uring_sqe *entry, enum operation operation, int index) {
  io_uring_sqe_set_data64(entry, cookie(operation, index));
}

static void arm_receive(struct connection *connection) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_recv_multishot(entry, connection->descriptor, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = 0;
  tag(entry, RECEIVE, connection->index);
}

static void add(struct connection *connection) {
  if (connection->index >= slot_count) fail("too many connections", ERANGE);
  slots[connection->index].connection = connection;
  arm_receive(connection);
}

static void flush(struct connection *connection) {
  if (connection->sending || connection->sent == connection->wanted) return;
  const uint8_t *bytes;
  size_t length = next_chunk(connection, &bytes);
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_send(entry, connection->descriptor, bytes, length, MSG_WAITALL | MSG_NOSIGNAL);
  tag(entry, SEND, connection->index);
  connection->sending = true;
}

/*
 * A pending receive holds the file: without the cancel no FIN would leave. It is
 * found by its cookie (by descriptor the kernel would search all that is pending).
 */
static void leave(struct connection *connection) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_cancel64(entry, cookie(RECEIVE, connection->index), 0);
  tag(entry, CANCEL, connection->index);
  slots[connection->index].connection = NULL;
  slots[connection->index].generation++;
}

static void sent(struct connection *connection, int result) {
  connection->sending = false;
  if (result < 0) {
    on_ended(connection, -result);
    return;
  }
  connection->sent += (uint64_t)result;
  flush(connection);
}

static void received(struct connection *connection, int result, const uint8_t *bytes, bool more) {
  if (result > 0) {
    struct slot before = slots[connection->index];
    on_received(connection, bytes, (size_t)result);
    /* The handler may have closed it, and even opened the next in its place. */
    bool same = slots[connection->index].generation == before.generation;
    if (same && !more) arm_receive(connection);
  } else if (result == -ENOBUFS) {
    starved[starved_count++] = connection->index;
  } else {
    on_ended(connection, -result);
  }
}

static void handle(const struct io_uring_cqe *completion, int *recycled) {
  uint64_t data = io_uring_cqe_get_data64(completion);
  enum operation operation = (enum operation)(data >> OPERATION_SHIFT);
  int index = (int)(data & ((1u << INDEX_BITS) - 1));
  uint32_t generation = (uint32_t)(data >> INDEX_BITS);
  struct connection *connection =
      slots[index].generation == generation ? slots[index].connection : NULL;
  if (operation == SEND) {
    if (connection != NULL) sent(connection, completion->res);
  } else if (operation == RECEIVE) {
    const uint8_t *bytes = NULL;
    int buffer = -1;
    if (completion->flags & IORING_CQE_F_BUFFER) {
      buffer = (int)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
      bytes = buffers + (size_t)buffer * BUFFER_STRIDE;
    }
    if (connection != NULL) {
      received(connection, completion->res, bytes, (completion->flags & IORING_CQE_F_MORE) != 0);
    }
    if (buffer >= 0) {
      io_uring_buf_ring_add(buffer_ring, buffers + (size_t)buffer * BUFFER_STRIDE, BUFFER_BYTES,
                            (unsigned short)buffer, BUFFER_COUNT - 1, (*recycled)++);
    }
  }
}

static void turn(int64_t timeout_ns) {
  struct io_uring_cqe *completion;
  int result;
  if (timeout_ns < 0) {
    result = io_uring_submit_and_wait(&ring, 1);
  } else if (timeout_ns == 0) {
    result = io_uring_submit(&ring);
    if (result >= 0) result = io_uring_get_events(&ring);
  } else {
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                                        .tv_nsec = timeout_ns % 1000000000};
    result = io_uring_submit_and_wait_timeout(&ring, &completion, 1, &timeout, NULL);
  }
  if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN) {
    fail("io_uring_enter", -result);
  }
  int recycled = 0;
  unsigned head, handled = 0;
  io_uring_for_each_cqe(&ring, head, completion) {
    handle(completion, &recycled);
    handled++;
  }
  io_uring_cq_advance(&ring, handled);
  io_uring_buf_ring_advance(buffer_ring, recycled);
  /* All buffers are back: every buffer is recycled in the turn that filled it. */
  while (starved_count > 0) {
    struct connection *connection = slots[starved[--starved_count]].connection;
    if (connection != NULL && connection->open) arm_receive(connection);
  }
}

const struct engine uring_engine = {
    .name = "io_uring", .start = start, .add = add, .flush = flush, .remove = leave, .turn = turn};
