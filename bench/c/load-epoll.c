/*
 * The load generator's engine on epoll: level-triggered, one receive per ready
 * connection and turn, sends at once and waits for room only when it must.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 1024 };

static int poll_descriptor;
static uint8_t receive_buffer[CHUNK_BYTES];

static void start(int connection_limit) {
  (void)connection_limit;
  poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
  if (poll_descriptor < 0) fail("epoll_create1", errno);
}

static void watch(int change, struct connection *connection, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(poll_descriptor, change, connection->descriptor, &event) != 0) {
    fail("epoll_ctl", errno);
  }
}

static void add(struct connection *connection) { watch(EPOLL_CTL_ADD, connection, EPOLLIN); }

/* Closing the descriptor is what takes it out of the epoll set. */
static void leave(struct connection *connection) { (void)connection; }

static void send_now(struct connection *connection) {
  while (connection->sent < connection->wanted) {
    const uint8_t *bytes;
    size_t length = next_chunk(connection, &bytes);
    ssize_t count =
        send(connection->descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) {
        on_ended(connection, errno);
        return;
      }
      if (!connection->sending) watch(EPOLL_CTL_MOD, connection, EPOLLIN | EPOLLOUT);
      connection->sending = true;
      return;
    }
    connection->sent += (uint64_t)count;
  }
  if (connection->sending) watch(EPOLL_CTL_MOD, connection, EPOLLIN);
  connection->sending = false;
}

static void flush(struct connection *connection) {
  if (!connection->sending) send_now(connection);
}

static void receive(struct connection *connection) {
  ssize_t count = recv(connection->descriptor, receive_buffer, CHUNK_BYTES, MSG_DONTWAIT);
  if (count > 0) {
    on_received(connection, receive_buffer, (size_t)count);
  } else if (count == 0) {
    on_ended(connection, 0);
  } else if (errno != EAGAIN && errno != EINTR) {
    on_ended(connection, errno);
  }
}

static void turn(int64_t timeout_ns) {
  static struct epoll_event events[EVENTS_PER_TURN];
  struct timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  int count = epoll_pwait2(poll_descriptor, events, EVENTS_PER_TURN,
                           timeout_ns < 0 ? NULL : &timeout, NULL);
  if (count < 0 && errno != EINTR) fail("epoll_pwait2", errno);
  for (int i = 0; i < count; i++) {
    struct connection *connection = events[i].data.ptr;
    if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(connection);
    if (connection->open && (events[i].events & EPOLLOUT)) send_now(connection);
  }
}

const struct engine epoll_engine = {
    .name = "epoll", .start = start, .add = add, .flush = flush, .remove = leave, .turn = turn};
