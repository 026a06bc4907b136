/*
 * The second reference: a TCP echo server on epoll, one thread, level-triggered,
 * as one would write it in C. Usage: echo-epoll PORT
 *
 * A connection that is ready is read once into one shared buffer and answered at
 * once from there; memory of its own it gets only when the peer takes less than
 * it was sent. Then, until that rest is out, nothing more is read from it: the
 * socket's own window is the backpressure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536, EVENTS_PER_TURN = 1024, BACKLOG = 4096 };

/* What a peer has not taken yet; bytes is NULL nearly always. */
struct rest {
  uint8_t *bytes;
  size_t start, end;
};

static struct rest *rests; /* indexed by descriptor */
static uint8_t read_buffer[READ_BYTES];
static int poll_descriptor, listener;
static bool accepting;

static void fail(const char *what) {
  fprintf(stderr, "echo-epoll: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void watch(int change, int descriptor, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = descriptor};
  if (epoll_ctl(poll_descriptor, change, descriptor, &event) != 0) fail("epoll_ctl");
}

static void accept_again(void) {
  if (accepting) return;
  accepting = true;
  watch(EPOLL_CTL_ADD, listener, EPOLLIN);
}

static void close_connection(int descriptor) {
  free(rests[descriptor].bytes);
  rests[descriptor] = (struct rest){0};
  close(descriptor); /* also takes it out of the epoll set */
  accept_again();
}

static void accept_all(void) {
  for (;;) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      watch(EPOLL_CTL_ADD, descriptor, EPOLLIN); /* TCP_NODELAY comes from the listener */
    } else if (errno == EAGAIN) {
      return;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      watch(EPOLL_CTL_DEL, listener, 0); /* until a connection closes */
      accepting = false;
      return;
    } else if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO) {
      fail("accept4");
    }
  }
}

/* The number of bytes taken by the kernel, or -1 when the connection is lost. */
static ssize_t send_some(int descriptor, const uint8_t *bytes, size_t length) {
  ssize_t count = send(descriptor, bytes, length, MSG_NOSIGNAL);
  if (count >= 0) return count;
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void read_and_answer(int descriptor) {
  ssize_t length = recv(descriptor, read_buffer, READ_BYTES, 0);
  if (length <= 0) {
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    close_connection(descriptor);
    return;
  }
  ssize_t count = send_some(descriptor, read_buffer, (size_t)length);
  if (count < 0) {
    close_connection(descriptor);
  } else if (count < length) {
    struct rest *rest = &rests[descriptor];
    rest->start = 0;
    rest->end = (size_t)(length - count);
    rest->bytes = malloc(rest->end);
    if (rest->bytes == NULL) fail("malloc");
    memcpy(rest->bytes, read_buffer + count, rest->end);
    watch(EPOLL_CTL_MOD, descriptor, EPOLLOUT);
  }
}

static void send_rest(int descriptor) {
  struct rest *rest = &rests[descriptor];
  ssize_t count = send_some(descriptor, rest->bytes + rest->start, rest->end - rest->start);
  if (count < 0) {
    close_connection(descriptor);
    return;
  }
  rest->start += (size_t)count;
  if (rest->start < rest->end) return;
  free(rest->bytes);
  *rest = (struct rest){0};
  watch(EPOLL_CTL_MOD, descriptor, EPOLLIN);
}

static void run_turn(void) {
  static struct epoll_event events[EVENTS_PER_TURN];
  int count = epoll_wait(poll_descriptor, events, EVENTS_PER_TURN, -1);
  if (count < 0 && errno != EINTR) fail("epoll_wait");
  bool listener_ready = false;
  for (int i = 0; i < count; i++) {
    int descriptor = events[i].data.fd;
    if (descriptor == listener) {
      listener_ready = true;
    } else if (rests[descriptor].bytes != NULL) {
      send_rest(descriptor);
    } else {
      read_and_answer(descriptor);
    }
  }
  /* Last, so that no event of this turn can meet a descriptor that was reused. */
  if (listener_ready) accept_all();
}

static void allow_many_connections(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
  rests = calloc(limit.rlim_cur, sizeof(struct rest));
  if (rests == NULL) fail("calloc");
}

static void open_listener(int port) {
  int one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, BACKLOG) != 0) {
    fail("listen");
  }
}

int main(int count, char **arguments) {
  int port = count == 2 ? atoi(arguments[1]) : 0;
  if (port < 1 || port > 65535) {
    fprintf(stderr, "usage: echo-epoll PORT\n");
    return 2;
  }
  allow_many_connections();
  open_listener(port);
  poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
  if (poll_descriptor < 0) fail("epoll_create1");
  accept_again();
  printf("listening on 127.0.0.1:%d\n", port);
  fflush(stdout);
  for (;;) run_turn();
}
