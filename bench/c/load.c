/*
 * The load generator of the benchmark: one thread, one process, bounded in time.
 *
 *   load --mode closed --port P --connections N --size B --depth D
 *   load --mode open   --port P --connections N --size B --rate R
 *   load --mode churn  --port P --connections N --size B
 *   load --mode idle   --port P --connections N --size B --hold S
 *   all: [--seconds S] [--warmup S] [--verify] [--engine io_uring|epoll] [--server-pid PID]
 *
 * closed  every connection keeps D messages in flight: an echo that has arrived
 *         is answered with the next message.
 * open    messages leave at R per second whatever the server does, and latency
 *         counts from the moment a message was *meant* to leave: a server that
 *         stalls is charged for all who would have come meanwhile.
 * churn   N loops, each: connect, send one message, read its echo, close. Source
 *         addresses rotate through 127.0.0.2-201, so that ports held in TIME_WAIT
 *         never run out.
 * idle    all connect, echo once, and then stay silent for the hold time.
 *
 * Every mode but churn first opens its connections, 128 at a time, and has each
 * echo one message: what is measured begins with connections that work.
 *
 * Standard output is one JSON object a line: "up" (all connections are there),
 * in the idle mode "begin" of the measured window, its "end", then "result". Nothing
 * is said while messages are measured: who reads it wakes on this core, and what is
 * due meanwhile would be sent some 3 ms late. With --server-pid the
 * server's CPU time is read at exactly these two moments, in nanoseconds, from
 * the process's CPU clock (which counts threads that have ended, too).
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"

enum {
  OPENING_AT_ONCE = 128,
  SOURCE_ADDRESSES = 200,
  ERROR_KINDS = 134,
  ERRORS_MAX = 10000, /* more than this: the run is worthless, stop */
  DRAIN_SECONDS = 5,
  SETTLE_SECONDS = 1,
};

/* Kinds of errors that are no errno. */
enum { END_OF_STREAM = 0, WRONG_CONTENT = 1 + 131, MISSING_ECHO = 1 + 132 };

#define SECOND_NS 1000000000ull

enum mode { CLOSED, OPEN, CHURN, IDLE };
enum phase { OPENING, RUNNING, DRAINING };

static const char *const mode_names[] = {"closed", "open", "churn", "idle"};

static struct {
  enum mode mode;
  int port, connections, depth, server_pid;
  uint64_t size, rate;
  double seconds, warmup, hold;
  bool verify;
} options = {.connections = 50, .depth = 1, .size = 64, .seconds = 5, .warmup = 1, .hold = 10};

struct moment {
  uint64_t wall, own_cpu, own_user, own_system, own_delay, server_cpu, server_delay;
};

uint8_t pattern[CHUNK_BYTES + PERIOD];

static const struct engine *engine = &uring_engine;
static struct connection *connections;
static struct histogram latency, lateness;
static enum phase phase = OPENING;
static int opened_count, working_count, alive_count;
static uint64_t error_counts[ERROR_KINDS], error_total;
static uint64_t window_begin, window_end; /* 0 until known */
static struct moment begin, end;
static uint64_t measured_messages;
static clockid_t server_clock;

_Noreturn void fail(const char *what, int error) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(error));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void count_error(int kind) {
  error_counts[kind < ERROR_KINDS ? kind : EIO]++;
  error_total++;
}

static const char *error_name(int kind) {
  if (kind == END_OF_STREAM) return "END_OF_STREAM";
  if (kind == WRONG_CONTENT) return "WRONG_CONTENT";
  if (kind == MISSING_ECHO) return "MISSING_ECHO";
  const char *name = strerrorname_np(kind);
  return name == NULL ? "UNKNOWN" : name;
}

/* ---- connections ---- */

static int open_socket(int *error) {
  static unsigned next_source;
  int one = 1;
  struct sockaddr_in source = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(INADDR_LOOPBACK + 1 + next_source++ % SOURCE_ADDRESSES)};
  struct sockaddr_in target = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)options.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) fail("socket", errno);
  /* The port is chosen when connecting, so that it need only be free for this target. */
  if (setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
      bind(descriptor, (struct sockaddr *)&source, sizeof source) != 0) {
    fail("bind", errno);
  }
  /* One small message on a new connection leaves at once without it. */
  if (options.mode != CHURN) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* On loopback the handshake is done when this returns, without sleeping. */
  if (connect(descriptor, (struct sockaddr *)&target, sizeof target) != 0) {
    *error = errno;
    close(descriptor);
    return -1;
  }
  return descriptor;
}

static void want(struct connection *connection, uint64_t messages) {
  connection->wanted += messages * options.size;
  engine->flush(connection);
}

static void open_connection(struct connection *connection) {
  uint64_t *sent_at = connection->sent_at;
  int error = 0;
  uint64_t at = now_ns();
  *connection = (struct connection){.index = (int)(connection - connections), .sent_at = sent_at};
  connection->opened_at = at;
  connection->descriptor = open_socket(&error);
  if (connection->descriptor < 0) {
    count_error(error);
    return;
  }
  connection->open = true;
  alive_count++;
  engine->add(connection);
  want(connection, 1);
}

static void close_connection(struct connection *connection) {
  if (!connection->open) return;
  connection->open = false;
  alive_count--;
  engine->remove(connection);
  close(connection->descriptor);
}

/* ---- what happens when an echo arrives ---- */

static bool in_window(uint64_t at) {
  return window_begin != 0 && at >= window_begin && at < window_end;
}

static void measured(uint64_t at, uint64_t from) {
  if (!in_window(at)) return;
  measured_messages++;
  histogram_record(&latency, at - from);
}

static uint64_t intended_at(const struct connection *connection, uint64_t message);

static void closed_loop_echoed(struct connection *connection, uint64_t first, uint64_t count) {
  uint64_t depth = (uint64_t)options.depth, at = now_ns();
  for (uint64_t message = first; message < first + count; message++) {
    measured(at, connection->sent_at[message % depth]);
    connection->sent_at[message % depth] = at; /* its successor, `depth` later, leaves now */
  }
  if (phase == RUNNING) want(connection, count);
}

static void open_loop_echoed(struct connection *connection, uint64_t first, uint64_t count) {
  uint64_t at = now_ns();
  for (uint64_t message = first; message < first + count; message++) {
    uint64_t intended = intended_at(connection, message);
    if (!in_window(intended)) continue; /* by intention: a slow echo counts although it is late */
    measured_messages++;
    histogram_record(&latency, at > intended ? at - intended : 0);
  }
}

static void churn_echoed(struct connection *connection) {
  close_connection(connection);
  measured(now_ns(), connection->opened_at);
  if (phase != DRAINING) open_connection(connection);
}

void on_received(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (options.verify &&
      memcmp(bytes, pattern + connection->received % PERIOD, length) != 0) {
    count_error(WRONG_CONTENT);
  }
  connection->received += length;
  uint64_t first = connection->messages, count = connection->received / options.size - first;
  if (connection->received > connection->wanted) count_error(WRONG_CONTENT);
  if (count == 0) return;
  connection->messages += count;
  if (options.mode == CHURN) {
    churn_echoed(connection);
  } else if (first == 0) {
    working_count++; /* the one message of the opening */
  } else if (options.mode == CLOSED) {
    closed_loop_echoed(connection, first, count);
  } else if (options.mode == OPEN) {
    open_loop_echoed(connection, first, count);
  }
}

void on_ended(struct connection *connection, int error) {
  if (!connection->open) return;
  count_error(error);
  close_connection(connection);
  if (options.mode == CHURN && phase != DRAINING && error_total < ERRORS_MAX) {
    open_connection(connection);
  }
}

/* ---- measuring ---- */

/* How long a process's first thread has been kept from running by others. */
static uint64_t run_delay(int pid) {
  char path[64];
  unsigned long long cpu, delay = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail(path, errno);
  if (fscanf(file, "%llu %llu", &cpu, &delay) != 2) fail(path, EINVAL);
  fclose(file);
  return delay;
}

static struct moment take_moment(void) {
  struct moment moment = {.wall = now_ns()};
  struct timespec t;
  struct rusage usage;
  if (options.server_pid != 0) {
    if (clock_gettime(server_clock, &t) != 0) fail("the server's CPU clock", errno);
    moment.server_cpu = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
    moment.server_delay = run_delay(options.server_pid);
  }
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  moment.own_cpu = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
  moment.own_delay = run_delay(getpid());
  getrusage(RUSAGE_SELF, &usage);
  moment.own_user = (uint64_t)usage.ru_utime.tv_sec * SECOND_NS + (uint64_t)usage.ru_utime.tv_usec * 1000;
  moment.own_system = (uint64_t)usage.ru_stime.tv_sec * SECOND_NS + (uint64_t)usage.ru_stime.tv_usec * 1000;
  return moment;
}

static void announce(const char *event) {
  printf("{\"event\":\"%s\",\"connections\":%d}\n", event, alive_count);
  fflush(stdout);
}

/*
 * Called once a turn: notices that the window opens or closes. The server's CPU
 * is read within a turn of the moment, and the seconds reported are those between
 * the two readings.
 */
static void watch_window(uint64_t at) {
  if (begin.wall == 0 && at >= window_begin) {
    begin = take_moment();
    if (options.mode == IDLE) announce("begin");
  }
  if (begin.wall != 0 && end.wall == 0 && at >= window_end) {
    end = take_moment();
    announce("end");
  }
}

static void set_window(double warmup, double seconds) {
  window_begin = now_ns() + (uint64_t)(warmup * (double)SECOND_NS);
  window_end = window_begin + (uint64_t)(seconds * (double)SECOND_NS);
}

static bool hopeless(void) { return error_total >= ERRORS_MAX || alive_count == 0; }

/* ---- the workloads ---- */

static void open_all(void) {
  while (working_count < options.connections && !(opened_count == options.connections && hopeless())) {
    while (opened_count < options.connections && opened_count - working_count < OPENING_AT_ONCE) {
      open_connection(&connections[opened_count++]);
      if (error_total >= OPENING_AT_ONCE) fail("too many connections could not be opened", ECONNREFUSED);
    }
    engine->turn((int64_t)SECOND_NS / 10);
    if (error_total > 0 && working_count + (int)error_total >= options.connections) break;
  }
  announce("up");
}

static void run_closed(void) {
  set_window(options.warmup, options.seconds);
  phase = RUNNING;
  for (int i = 0; i < options.connections; i++) {
    struct connection *connection = &connections[i];
    if (!connection->open) continue;
    for (int d = 0; d < options.depth; d++) connection->sent_at[d] = now_ns();
    want(connection, (uint64_t)options.depth);
  }
  while (end.wall == 0 && !hopeless()) {
    engine->turn((int64_t)SECOND_NS / 10);
    watch_window(now_ns());
  }
}

static uint64_t open_loop_start;

/* Message 0 was the opening's; the k-th of all the others belongs to connection k % N. */
static uint64_t intended_at(const struct connection *connection, uint64_t message) {
  uint64_t k = (message - 1) * (uint64_t)options.connections + (uint64_t)connection->index;
  return open_loop_start + k * SECOND_NS / options.rate;
}

static void run_open(void) {
  set_window(options.warmup, options.seconds);
  open_loop_start = now_ns();
  phase = RUNNING;
  uint64_t k = 0;
  while (end.wall == 0 && !hopeless()) {
    uint64_t at = now_ns();
    for (;;) { /* all that is due; never sleeping, so as not to be late by a wake-up */
      struct connection *connection = &connections[k % (uint64_t)options.connections];
      uint64_t intended = open_loop_start + k * SECOND_NS / options.rate;
      if (intended > at) break;
      if (in_window(intended)) histogram_record(&lateness, at - intended);
      if (connection->open) want(connection, 1);
      k++;
    }
    engine->turn(0);
    watch_window(now_ns());
  }
}

static void run_churn(void) {
  set_window(options.warmup, options.seconds);
  phase = RUNNING;
  for (int i = 0; i < options.connections; i++) open_connection(&connections[i]);
  while (end.wall == 0 && !hopeless()) {
    engine->turn((int64_t)SECOND_NS / 10);
    watch_window(now_ns());
  }
}

static void run_idle(void) {
  set_window(SETTLE_SECONDS, options.hold);
  phase = RUNNING;
  while (end.wall == 0 && !hopeless()) {
    uint64_t at = now_ns(), until = begin.wall == 0 ? window_begin : window_end;
    engine->turn(until > at ? (int64_t)(until - at) : 0);
    watch_window(now_ns());
  }
}

static bool echoes_missing(void) {
  for (int i = 0; i < options.connections; i++) {
    if (connections[i].open && connections[i].received < connections[i].wanted) return true;
  }
  return false;
}

/* Every byte sent must come back; then all connections are closed in an orderly way. */
static void drain(void) {
  phase = DRAINING;
  uint64_t deadline = now_ns() + DRAIN_SECONDS * SECOND_NS;
  while (echoes_missing() && now_ns() < deadline) engine->turn((int64_t)SECOND_NS / 100);
  for (int i = 0; i < options.connections; i++) {
    struct connection *connection = &connections[i];
    if (connection->open && connection->received < connection->wanted) count_error(MISSING_ECHO);
    close_connection(connection);
  }
}

/* ---- the report ---- */

static void print_quantiles(const char *name, const struct histogram *h) {
  printf(",\"%s\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p99_9\":%.3f,\"max\":%.3f}", name,
         (double)histogram_quantile(h, 0.5) / 1e3, (double)histogram_quantile(h, 0.9) / 1e3,
         (double)histogram_quantile(h, 0.99) / 1e3, (double)histogram_quantile(h, 0.999) / 1e3,
         (double)h->max / 1e3);
}

/* A share of the window's wall time. */
static double share(uint64_t from, uint64_t to) {
  return (double)(to - from) / (double)(end.wall - begin.wall);
}

/*
 * Was it the generator that set the pace? In a closed loop: when it never had to
 * wait for echoes although the server had time to spare. In an open loop: when it
 * sent late.
 */
static bool was_bottleneck(void) {
  if (options.mode == IDLE) return false;
  if (options.mode == OPEN) return histogram_quantile(&lateness, 0.99) > 50000;
  double own = share(begin.own_cpu, end.own_cpu) + share(begin.own_delay, end.own_delay);
  double server = share(begin.server_cpu, end.server_cpu) + share(begin.server_delay, end.server_delay);
  return own >= 0.97 && server < 0.97;
}

static void print_result(void) {
  double seconds = (double)(end.wall - begin.wall) / 1e9;
  printf("{\"event\":\"result\",\"mode\":\"%s\",\"engine\":\"%s\"", mode_names[options.mode], engine->name);
  printf(",\"connections\":%d,\"size\":%llu,\"depth\":%d,\"verified\":%s", options.connections,
         (unsigned long long)options.size, options.depth, options.verify ? "true" : "false");
  printf(",\"working\":%d", options.mode == CHURN ? options.connections : working_count);
  printf(",\"messages\":%llu,\"seconds\":%.6f,\"messagesPerSecond\":%.1f",
         (unsigned long long)measured_messages, seconds, (double)measured_messages / seconds);
  print_quantiles("latencyUs", &latency);
  if (options.mode == OPEN) print_quantiles("latenessUs", &lateness);
  printf(",\"errors\":{");
  const char *separator = "";
  for (int kind = 0; kind < ERROR_KINDS; kind++) {
    if (error_counts[kind] == 0) continue;
    printf("%s\"%s\":%llu", separator, error_name(kind), (unsigned long long)error_counts[kind]);
    separator = ",";
  }
  printf("},\"load\":{\"busy\":%.4f,\"keptWaiting\":%.4f", share(begin.own_cpu, end.own_cpu),
         share(begin.own_delay, end.own_delay));
  printf(",\"userSeconds\":%.4f,\"systemSeconds\":%.4f,\"bottleneck\":%s}",
         (double)(end.own_user - begin.own_user) / 1e9,
         (double)(end.own_system - begin.own_system) / 1e9,
         was_bottleneck() ? "true" : "false");
  if (options.server_pid != 0) {
    printf(",\"server\":{\"busy\":%.6f,\"keptWaiting\":%.4f,\"cpuNs\":%llu}",
           share(begin.server_cpu, end.server_cpu), share(begin.server_delay, end.server_delay),
           (unsigned long long)(end.server_cpu - begin.server_cpu));
  }
  printf("}\n");
  fflush(stdout);
}

/* ---- starting ---- */

static _Noreturn void refuse(const char *why) {
  fprintf(stderr, "load: %s\n", why);
  exit(2);
}

static double number(const char *text, const char *name, double low, double high) {
  char *rest;
  double value = strtod(text, &rest);
  if (*text == '\0' || *rest != '\0' || !(value >= low && value <= high)) {
    fprintf(stderr, "load: --%s must be a number from %g to %g, not %s\n", name, low, high, text);
    exit(2);
  }
  return value;
}

static void read_options(int count, char **arguments) {
  static const struct option known[] = {
      {"mode", 1, 0, 'm'},    {"port", 1, 0, 'p'},    {"connections", 1, 0, 'c'},
      {"size", 1, 0, 's'},    {"depth", 1, 0, 'd'},   {"seconds", 1, 0, 't'},
      {"warmup", 1, 0, 'w'},  {"rate", 1, 0, 'r'},    {"hold", 1, 0, 'h'},
      {"engine", 1, 0, 'e'},  {"verify", 0, 0, 'v'},  {"server-pid", 1, 0, 'P'},
      {0, 0, 0, 0},
  };
  bool mode_given = false;
  int letter;
  while ((letter = getopt_long(count, arguments, "", known, NULL)) != -1) {
    switch (letter) {
      case 'm':
        for (int mode = CLOSED; mode <= IDLE; mode++) {
          if (strcmp(optarg, mode_names[mode]) != 0) continue;
          options.mode = (enum mode)mode;
          mode_given = true;
        }
        if (!mode_given) refuse("--mode must be closed, open, churn or idle");
        break;
      case 'p': options.port = (int)number(optarg, "port", 1, 65535); break;
      case 'c': options.connections = (int)number(optarg, "connections", 1, 19000); break;
      case 's': options.size = (uint64_t)number(optarg, "size", 1, CHUNK_BYTES); break;
      case 'd': options.depth = (int)number(optarg, "depth", 1, 1024); break;
      case 't': options.seconds = number(optarg, "seconds", 0.1, 600); break;
      case 'w': options.warmup = number(optarg, "warmup", 0, 60); break;
      case 'r': options.rate = (uint64_t)number(optarg, "rate", 1, 10000000); break;
      case 'h': options.hold = number(optarg, "hold", 0.1, 600); break;
      case 'P': options.server_pid = (int)number(optarg, "server-pid", 1, 4194304); break;
      case 'v': options.verify = true; break;
      case 'e':
        if (strcmp(optarg, epoll_engine.name) == 0) engine = &epoll_engine;
        else if (strcmp(optarg, uring_engine.name) != 0) refuse("--engine must be io_uring or epoll");
        break;
      default: exit(2);
    }
  }
  if (!mode_given || options.port == 0) refuse("--mode and --port are needed");
  if (options.mode == OPEN && options.rate == 0) refuse("--mode open needs --rate");
}

static void prepare(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit", errno);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit", errno);
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i % PERIOD);
  connections = calloc((size_t)options.connections, sizeof *connections);
  uint64_t *stamps = calloc((size_t)options.connections * (size_t)options.depth, sizeof *stamps);
  if (connections == NULL || stamps == NULL) fail("calloc", errno);
  for (int i = 0; i < options.connections; i++) {
    connections[i].sent_at = stamps + (size_t)i * (size_t)options.depth;
  }
  if (options.server_pid != 0) {
    int error = clock_getcpuclockid(options.server_pid, &server_clock);
    if (error != 0) fail("the server's CPU clock", error);
  }
  engine->start(options.connections);
  /* Whatever goes wrong, this process ends. */
  alarm((unsigned)(options.seconds + options.warmup + options.hold) + 90);
}

int main(int count, char **arguments) {
  read_options(count, arguments);
  prepare();
  if (options.mode != CHURN) open_all();
  switch (options.mode) {
    case CLOSED: run_closed(); break;
    case OPEN: run_open(); break;
    case CHURN: run_churn(); break;
    case IDLE: run_idle(); break;
  }
  if (begin.wall == 0) begin = take_moment();
  if (end.wall == 0) end = take_moment();
  drain();
  print_result();
  return error_total == 0 ? 0 : 1;
}
