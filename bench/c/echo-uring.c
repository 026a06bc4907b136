/*
 * The reference that every ratio in RESULTS.md is taken to: a TCP echo server
 * on io_uring, written as one would write it in C when only this matters: one
 * thread, or several with a ring each. Usage: echo-uring PORT [THREADS]
 *
 * How bytes travel: a multishot receive lets the kernel pick a buffer from a
 * ring that we provided; the same buffer is handed to a send; when that send
 * completes the buffer goes back to the ring. Nothing is copied here, and a
 * turn costs one system call however many connections took part in it.
 *
 * Invariants
 *  - A buffer is in exactly one place: the kernel's ring, the one send in flight
 *    of a connection, or that connection's queue. free_buffers counts the first.
 *  - One send in flight per connection: sends may overtake each other once one
 *    of them has to wait.
 *  - A descriptor is closed only after its receive has ended and its send has
 *    completed. So no completion can ever meet a descriptor that was reused, and
 *    connections may be indexed by descriptor.
 *
 * Known limit: there is no quota of buffers per connection, so a peer that never
 * reads could take all of them. The loads of this benchmark always read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  QUEUE_ENTRIES = 4096,
  COMPLETION_ENTRIES = 4 * QUEUE_ENTRIES,
  /* A power of two. The kernel walks through all of them in turn, so that more than
   * the caches hold costs: with 2048 large messages were 15 % dearer. */
  BUFFER_COUNT = 1024,
  BUFFER_BYTES = 16384,
  /* One cache line more than a power of two: otherwise the first bytes of all
   * buffers, the only ones that small messages touch, share one cache set. */
  BUFFER_STRIDE = BUFFER_BYTES + 64,
  BUFFER_GROUP = 0,
  BACKLOG = 4096,
  MOST_THREADS = 64,
  NONE = -1,
};

enum operation { ACCEPT, ADOPT, HAND_OVER, RECEIVE, SEND, CLOSE };

struct connection {
  bool receiving; /* a multishot receive is armed */
  bool sending;   /* a send is in flight: the buffer at the queue's head */
  bool ended;     /* end of stream or an error: close once all is quiet */
  bool starved;   /* its receive ended for want of a buffer; in the starved list */
  int head, tail; /* queue of buffers to send, linked through next_buffer */
  int next_starved;
};

/* Each thread has all of its own; only the first one accepts. */
static _Thread_local struct io_uring ring;
static _Thread_local struct io_uring_buf_ring *buffer_ring;
static _Thread_local uint8_t *buffers;
static _Thread_local int buffers_to_publish; /* added to the ring, its tail not yet moved */
static _Thread_local int free_buffers = BUFFER_COUNT;
static _Thread_local int next_buffer[BUFFER_COUNT];
static _Thread_local unsigned buffer_length[BUFFER_COUNT];

static _Thread_local struct connection *connections;
static _Thread_local int starved_head = NONE, starved_tail = NONE;
static int listener;
static int thread_count = 1;
static int ring_descriptors[MOST_THREADS];
static pthread_barrier_t all_ready;
static _Thread_local bool accepts, accepting;

static void fail(const char *what, int error) {
  fprintf(stderr, "echo-uring: %s: %s\n", what, strerror(error));
  exit(1);
}

/* Never NULL: run_turn() handles no more completions than there is room for. */
static struct io_uring_sqe *next_entry(void) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
  if (entry == NULL) fail("submission queue", ENOSPC);
  return entry;
}

static void tag(struct io_uring_sqe *entry, enum operation operation, int descriptor) {
  io_uring_sqe_set_data64(entry, (uint64_t)operation << 32 | (uint32_t)descriptor);
}

static uint8_t *buffer_address(int buffer) { return buffers + (size_t)buffer * BUFFER_STRIDE; }

static void arm_accept(void) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
  tag(entry, ACCEPT, listener);
  accepting = true;
}

static void arm_receive(int descriptor) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_recv_multishot(entry, descriptor, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = BUFFER_GROUP;
  tag(entry, RECEIVE, descriptor);
  connections[descriptor].receiving = true;
}

static void send_head(int descriptor) {
  struct connection *connection = &connections[descriptor];
  struct io_uring_sqe *entry = next_entry();
  int buffer = connection->head;
  /* MSG_WAITALL: the kernel itself carries on after a partial send. */
  io_uring_prep_send(entry, descriptor, buffer_address(buffer), buffer_length[buffer],
                     MSG_WAITALL | MSG_NOSIGNAL);
  tag(entry, SEND, descriptor);
  connection->sending = true;
}

static void queue_buffer(struct connection *connection, int buffer, unsigned length) {
  buffer_length[buffer] = length;
  next_buffer[buffer] = NONE;
  if (connection->head == NONE) {
    connection->head = buffer;
  } else {
    next_buffer[connection->tail] = buffer;
  }
  connection->tail = buffer;
}

/* Takes the queue's head out and gives it back; publish_buffers() makes it seen. */
static void recycle_head(struct connection *connection) {
  int buffer = connection->head;
  connection->head = next_buffer[buffer];
  io_uring_buf_ring_add(buffer_ring, buffer_address(buffer), BUFFER_BYTES, (unsigned short)buffer,
                        BUFFER_COUNT - 1, buffers_to_publish++);
}

static void publish_buffers(void) {
  if (buffers_to_publish == 0) return;
  io_uring_buf_ring_advance(buffer_ring, buffers_to_publish);
  free_buffers += buffers_to_publish;
  buffers_to_publish = 0;
}

static void starve(int descriptor) {
  connections[descriptor].starved = true;
  connections[descriptor].next_starved = NONE;
  if (starved_head == NONE) {
    starved_head = descriptor;
  } else {
    connections[starved_tail].next_starved = descriptor;
  }
  starved_tail = descriptor;
}

/* One receive per free buffer: arming more would only fail again. */
static void feed_starved(void) {
  for (int room = free_buffers; room > 0 && starved_head != NONE; room--) {
    if (io_uring_sq_space_left(&ring) == 0) return;
    int descriptor = starved_head;
    starved_head = connections[descriptor].next_starved;
    connections[descriptor].starved = false;
    arm_receive(descriptor);
  }
}

static void close_when_quiet(int descriptor) {
  struct connection *connection = &connections[descriptor];
  if (!connection->ended || connection->receiving || connection->sending || connection->starved) {
    return;
  }
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_close(entry, descriptor);
  tag(entry, CLOSE, descriptor);
}

/* TCP_NODELAY is inherited from the listener. */
static void adopt(int descriptor) {
  connections[descriptor] = (struct connection){.head = NONE};
  arm_receive(descriptor);
}

/* Each thread in turn: what the kernel does with several rings that accept is not fair. */
static void place(int descriptor) {
  static int turn;
  int thread = turn++ % thread_count;
  if (thread == 0) {
    adopt(descriptor);
    return;
  }
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_msg_ring(entry, ring_descriptors[thread], (unsigned)descriptor,
                         (uint64_t)ADOPT << 32, 0);
  tag(entry, HAND_OVER, descriptor);
}

static void accepted(int result, unsigned flags) {
  accepting = (flags & IORING_CQE_F_MORE) != 0;
  if (result >= 0) {
    place(result);
    if (!accepting) arm_accept();
  } else if (result == -ECONNABORTED || result == -EINTR) {
    if (!accepting) arm_accept();
  } else if (result != -EMFILE && result != -ENFILE && result != -ENOMEM && result != -ENOBUFS) {
    fail("accept", -result);
  }
  /* Out of descriptors or memory: the next close arms it again. */
}

static void received(int descriptor, int result, unsigned flags) {
  struct connection *connection = &connections[descriptor];
  connection->receiving = (flags & IORING_CQE_F_MORE) != 0;
  if (result > 0) {
    free_buffers--;
    queue_buffer(connection, (int)(flags >> IORING_CQE_BUFFER_SHIFT), (unsigned)result);
    if (connection->ended) {
      recycle_head(connection); /* its send failed: nobody is there to echo to */
    } else if (!connection->sending) {
      send_head(descriptor);
    }
    if (!connection->receiving) arm_receive(descriptor);
  } else if (result == -ENOBUFS) {
    starve(descriptor);
  } else { /* end of stream, or an error; what is queued is still sent */
    connection->ended = true;
    close_when_quiet(descriptor);
  }
}

static void sent(int descriptor, int result) {
  struct connection *connection = &connections[descriptor];
  connection->sending = false;
  bool whole = result == (int)buffer_length[connection->head];
  recycle_head(connection);
  if (!whole) {
    while (connection->head != NONE) recycle_head(connection);
    connection->ended = true;
    shutdown(descriptor, SHUT_RDWR); /* ends the receive, if it is still armed */
  } else if (connection->head != NONE) {
    send_head(descriptor);
    return;
  }
  close_when_quiet(descriptor);
}

static void run_turn(void) {
  int result = io_uring_submit_and_wait(&ring, 1);
  if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN) {
    fail("submit and wait", -result);
  }
  /* A completion leads to two new entries at most. */
  unsigned budget = io_uring_sq_space_left(&ring) / 2;
  unsigned handled = 0, head;
  struct io_uring_cqe *completion;
  io_uring_for_each_cqe(&ring, head, completion) {
    if (handled == budget) break;
    handled++;
    uint64_t data = io_uring_cqe_get_data64(completion);
    int descriptor = (int)(uint32_t)data;
    switch ((enum operation)(data >> 32)) {
      case ACCEPT: accepted(completion->res, completion->flags); break;
      case ADOPT: adopt(completion->res); break;
      case HAND_OVER: if (completion->res < 0) fail("message to a ring", -completion->res); break;
      case RECEIVE: received(descriptor, completion->res, completion->flags); break;
      case SEND: sent(descriptor, completion->res); break;
      case CLOSE: if (accepts && !accepting) arm_accept(); break;
    }
  }
  io_uring_cq_advance(&ring, handled);
  publish_buffers();
  feed_starved();
}

static void open_ring(void) {
  struct io_uring_params params = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
               IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
      .cq_entries = COMPLETION_ENTRIES,
  };
  int result = io_uring_queue_init_params(QUEUE_ENTRIES, &ring, &params);
  if (result < 0) fail("io_uring_setup", -result);
  result = io_uring_register_ring_fd(&ring); /* saves a descriptor look-up per turn */
  if (result < 0) fail("register ring", -result);
}

static void *map(size_t bytes) {
  void *memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap", errno);
  return memory;
}

static void provide_buffers(void) {
  buffers = map((size_t)BUFFER_COUNT * BUFFER_STRIDE);
  buffer_ring = map(BUFFER_COUNT * sizeof(struct io_uring_buf));
  struct io_uring_buf_reg registration = {
      .ring_addr = (uint64_t)(uintptr_t)buffer_ring,
      .ring_entries = BUFFER_COUNT,
      .bgid = BUFFER_GROUP,
  };
  int result = io_uring_register_buf_ring(&ring, &registration, 0);
  if (result < 0) fail("register buffer ring", -result);
  io_uring_buf_ring_init(buffer_ring);
  for (int buffer = 0; buffer < BUFFER_COUNT; buffer++) {
    io_uring_buf_ring_add(buffer_ring, buffer_address(buffer), BUFFER_BYTES,
                          (unsigned short)buffer, BUFFER_COUNT - 1, buffer);
  }
  io_uring_buf_ring_advance(buffer_ring, BUFFER_COUNT);
}

static void allow_many_connections(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit", errno);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit", errno);
}

static void open_listener(int port) {
  int one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket", errno);
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, BACKLOG) != 0) {
    fail("listen", errno);
  }
}

static void *run_thread(void *argument) {
  int thread = (int)(intptr_t)argument;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit", errno);
  connections = map((size_t)limit.rlim_cur * sizeof(struct connection));
  open_ring();
  provide_buffers();
  ring_descriptors[thread] = ring.ring_fd;
  pthread_barrier_wait(&all_ready);
  accepts = thread == 0;
  if (accepts) arm_accept();
  for (;;) run_turn();
  return NULL; /* never reached */
}

int main(int count, char **arguments) {
  int port = count >= 2 ? atoi(arguments[1]) : 0;
  if (count == 3) thread_count = atoi(arguments[2]);
  if (count > 3 || port < 1 || port > 65535 || thread_count < 1 || thread_count > MOST_THREADS) {
    fprintf(stderr, "usage: echo-uring PORT [THREADS]\n");
    return 2;
  }
  allow_many_connections();
  open_listener(port);
  pthread_barrier_init(&all_ready, NULL, (unsigned)thread_count);
  for (int thread = 1; thread < thread_count; thread++) {
    pthread_t started;
    int error = pthread_create(&started, NULL, run_thread, (void *)(intptr_t)thread);
    if (error != 0) fail("pthread_create", error);
  }
  printf("listening on 127.0.0.1:%d\n", port);
  fflush(stdout);
  run_thread((void *)(intptr_t)0);
}
