#!/usr/bin/env python3
"""A client of SWP/1 in Python 3, standard library only, written from docs/protocol.md.

It shows what a second implementation takes: calls, server streams, client streams, subscriptions, publishing, errors,
deadlines, cancelling, PING, GOAWAY. It does not resume sessions, compress, or take calls from the server (it refuses them).

    with Client("127.0.0.1", 7000) as client:
        print(client.call("echo", {"a": 1}))
        for tick in client.stream("ticks", {"count": 3}):
            print(tick)

One thread reads and sorts frames into a queue for each stream; any thread may call. From a shell:

    swp.py HOST:PORT call echo '{"a":1}'
    swp.py HOST:PORT stream ticks '{"count":3}'
    swp.py HOST:PORT sub 'room.*' --count 2
    swp.py HOST:PORT pub room.7 '"hello"'
"""

import argparse
import json
import queue
import socket
import struct
import sys
import threading

PREFACE = b"SWP1\r\n\x1a\n"
HEADER = struct.Struct("<II")  # u24 length and u8 type, u24 stream and u8 flags
OPEN = struct.Struct("<BBHIIHH")
MSG = struct.Struct("<HHI")
ERROR = struct.Struct("<HHIHH")
GOAWAY = struct.Struct("<HHIII")
TLV = struct.Struct("<HH")

HELLO_FRAME, WELCOME_FRAME, AUTH_FRAME, PING_FRAME, GOAWAY_FRAME, CREDIT_FRAME, ACK_FRAME = range(1, 8)
OPEN_FRAME, DATA_FRAME, MSG_FRAME, ERROR_FRAME, CANCEL_FRAME = range(16, 21)
FIRST_IGNORABLE = 128
END, MORE, ZIP, SEQ = 1, 2, 4, 8
CALL, SERVER_STREAM, CLIENT_STREAM, DUPLEX, NOTIFY, SUBSCRIBE, PUBLISH = range(7)
JSON = 1
MAX_FRAME, MAX_MESSAGE, MAX_STREAMS, WINDOW, KEEPALIVE, CODECS = range(1, 7)
AUTH, STREAM_CREDIT, AGENT = 8, 12, 16
TOKEN = 1
CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE, REFUSED, FLOW = 1, 4, 14, 32, 36
NOT_PROCESSED, RETRYABLE = 1, 2

CREDIT = 16  # messages of a stream that may be on their way to us
OUR_WINDOW = 1 << 20  # bytes of OPEN, DATA and MSG payloads that may be
OUR_FRAME = 1 << 16
DEFAULTS = {MAX_FRAME: 1 << 16, MAX_STREAMS: 256, WINDOW: 1 << 20, STREAM_CREDIT: 16}


class Failure(Exception):
    """A stream ended with ERROR, or the connection is gone."""

    def __init__(self, code, message, eflags=0, retry_after_ms=0):
        super().__init__(message)
        self.code = code
        self.not_processed = bool(eflags & NOT_PROCESSED)
        self.retryable = bool(eflags & RETRYABLE)
        self.retry_after_ms = retry_after_ms


class EndOfStream(Exception):
    """No more messages."""


class GoneAway(Failure):
    """The server said GOAWAY."""


def tlv(key, value):
    return TLV.pack(key, len(value)) + value


def read_tlvs(payload):
    found, at = {}, 0
    while at < len(payload):
        key, length = TLV.unpack_from(payload, at)
        found[key & 0x7FFF] = payload[at + 4 : at + 4 + length]
        at += 4 + length
    return found


class Stream:
    """One stream that this client has opened."""

    def __init__(self, client, number, kind):
        self.client = client
        self.number = number
        self.kind = kind
        self.inbox = queue.Queue()
        self.pieces = []
        self.taken = 0
        self.send_credit = client.limits[STREAM_CREDIT]
        self.local_done = kind not in (CLIENT_STREAM, DUPLEX)
        self.remote_done = False

    def send(self, message):
        """One message of a client stream or duplex; waits for credit."""
        self.client._send_message(self, encoded(message))

    def end(self):
        """No more messages."""
        self.client._finish(self, DATA_FRAME, b"")

    def cancel(self, code=CANCELLED):
        """Nothing more is wanted."""
        self.client._finish(self, CANCEL_FRAME, struct.pack("<HH", code, 0))

    def receive(self, timeout=None):
        """The next message. Raises EndOfStream, Failure, or queue.Empty after `timeout` seconds."""
        item = self.inbox.get(timeout=timeout)
        if isinstance(item, Exception):
            self.inbox.put(item)  # for whoever asks again
            raise item
        self.taken += 1
        if self.kind in (SERVER_STREAM, DUPLEX, SUBSCRIBE) and self.taken * 2 >= CREDIT:
            self.client._grant(self, self.taken)
            self.taken = 0
        return item[0]

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.receive()
        except EndOfStream:
            raise StopIteration from None


class Client:
    def __init__(self, host, port, token=None, timeout=5):
        self.limits = dict(DEFAULTS)
        self.lock = threading.Condition()
        self.streams = {}
        self.failure = None
        self.goaway = None
        self.pings = {}
        self.welcomed = threading.Event()
        self.window = 64 * 1024  # until WELCOME
        self.owed = 0
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = struct.pack("<BBH", 1, 1, 0) + tlv(AGENT, b"swp.py") + tlv(CODECS, bytes([JSON]))
        hello += tlv(MAX_FRAME, struct.pack("<I", OUR_FRAME)) + tlv(WINDOW, struct.pack("<I", OUR_WINDOW))
        if token is not None:
            hello += tlv(AUTH, bytes([TOKEN]) + token.encode())
        self.socket.sendall(PREFACE + self._frame(HELLO_FRAME, 0, 0, hello))
        threading.Thread(target=self._read, daemon=True).start()
        if not self.welcomed.wait(timeout):
            self.close()
            raise Failure(UNAVAILABLE, "no WELCOME in time")
        if self.failure:
            raise self.failure

    # What a program calls.

    def call(self, route, body=None, timeout=None):
        """Calls and waits for the answer. `timeout` in seconds is also the server's deadline."""
        stream = self._open(CALL, route, body, timeout)
        try:
            return stream.receive(timeout)
        except queue.Empty:
            stream.cancel(DEADLINE_EXCEEDED)
            raise Failure(DEADLINE_EXCEEDED, "no answer in time") from None

    def stream(self, route, body=None):
        """The messages that the server answers with."""
        return self._open(SERVER_STREAM, route, body, credit=CREDIT)

    def upload(self, route):
        """A stream of messages to the server; `receive()` after `end()` is the answer."""
        return self._open(CLIENT_STREAM, route)

    def duplex(self, route):
        """Messages both ways."""
        return self._open(DUPLEX, route, credit=CREDIT)

    def subscribe(self, topic):
        """Messages of a topic, as (topic, body) pairs."""
        return self._open(SUBSCRIBE, topic, credit=CREDIT)

    def publish(self, topic, body):
        """Publishes, and waits until the server has taken it."""
        self._open(PUBLISH, topic, body).receive()

    def notify(self, route, body=None):
        """A call that nobody answers."""
        self._send_open(0, END, NOTIFY, route, body, 0, 0)

    def ping(self, timeout=5):
        """Waits until the server has answered."""
        data = struct.pack("<Q", len(self.pings) + 1)
        self.pings[data] = threading.Event()
        self._write(PING_FRAME, 0, 0, data)
        if not self.pings[data].wait(timeout):
            raise Failure(UNAVAILABLE, "no answer to PING in time")

    def close(self):
        self._fail(Failure(CANCELLED, "closed"))
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It was gone already.
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Sending.

    def _frame(self, kind, stream, flags, payload):
        return HEADER.pack(len(payload) | kind << 24, stream | flags << 24) + payload

    def _write(self, kind, stream, flags, payload):
        with self.lock:
            if self.failure:
                raise self.failure
            self.socket.sendall(self._frame(kind, stream, flags, payload))

    def _wait(self, ready):
        """Waits, with the lock held, until `ready()`, or raises what ended the connection."""
        self.lock.wait_for(lambda: self.failure or ready())
        if self.failure:
            raise self.failure

    def _open(self, kind, name, body=None, timeout=None, credit=0):
        with self.lock:
            if self.goaway is not None:
                raise Failure(UNAVAILABLE, "the server is going away", NOT_PROCESSED | RETRYABLE)
            self._wait(lambda: len(self.streams) < self.limits[MAX_STREAMS])
            number = 1
            while number in self.streams:  # the smallest free one
                number += 2
            stream = self.streams[number] = Stream(self, number, kind)
            flags = END if stream.local_done else 0
            self._send_open(number, flags, kind, name, body, int((timeout or 0) * 1000), credit)
            return stream

    def _send_open(self, number, flags, kind, name, body, deadline_ms, credit):
        name = name.encode()
        carries = kind not in (CLIENT_STREAM, DUPLEX, SUBSCRIBE)
        body = encoded(body) if carries else b""
        head = OPEN.pack(kind, JSON, 0, deadline_ms, credit, len(name), 0) + name
        self._send_pieces(OPEN_FRAME, number, flags, head, body)

    def _send_pieces(self, kind, number, flags, head, body):
        """A message in as many frames as it needs; each waits for the window."""
        with self.lock:
            while True:
                room = self.limits[MAX_FRAME] - len(head)
                piece, body = body[:room], body[room:]
                payload = head + piece
                self._wait(lambda: self.window >= len(payload))
                self.window -= len(payload)
                self._write(kind, number, flags & ~END | MORE if body else flags, payload)
                if not body:
                    return
                kind, head = DATA_FRAME, b""

    def _send_message(self, stream, body):
        with self.lock:
            self._wait(lambda: stream.send_credit > 0 or stream.remote_done)
            if stream.remote_done or stream.local_done:
                raise Failure(CANCELLED, "the stream has ended")
            stream.send_credit -= 1
            self._send_pieces(DATA_FRAME, stream.number, 0, b"", body)

    def _finish(self, stream, kind, payload):
        with self.lock:
            if not stream.local_done or (kind == CANCEL_FRAME and not stream.remote_done):
                stream.local_done = True
                self._write(kind, stream.number, END, payload)
                self._forget(stream)

    def _forget(self, stream):
        """An id is free again when both sides have ended."""
        if stream.local_done and stream.remote_done:
            self.streams.pop(stream.number, None)
            self.lock.notify_all()

    def _grant(self, stream, count):
        with self.lock:
            if not stream.remote_done and not self.failure:
                self._write(CREDIT_FRAME, stream.number, 0, struct.pack("<I", count))

    # Receiving.

    def _read(self):
        try:
            while True:
                first, second = HEADER.unpack(self._exactly(HEADER.size))
                if first & 0xFFFFFF > OUR_FRAME:
                    raise Failure(FLOW, "a frame is longer than this client takes")
                payload = self._exactly(first & 0xFFFFFF)
                with self.lock:
                    self._frame_came(first >> 24, second & 0xFFFFFF, second >> 24, payload)
                    self.lock.notify_all()
        except (OSError, EOFError, struct.error, Failure) as error:
            ended = self.goaway or (error if isinstance(error, Failure) else None)
            self._fail(ended or Failure(UNAVAILABLE, f"the connection is gone: {error or 'end'}"))

    def _exactly(self, length):
        chunks = []
        while length > 0:
            chunk = self.socket.recv(min(length, 65536))
            if not chunk:
                raise EOFError
            chunks.append(chunk)
            length -= len(chunk)
        return b"".join(chunks)

    def _frame_came(self, kind, number, flags, payload):
        if kind >= FIRST_IGNORABLE:
            return
        if kind in (OPEN_FRAME, DATA_FRAME, MSG_FRAME):
            self._charge(len(payload))
        if kind == WELCOME_FRAME:
            self._welcome(payload)
        elif kind == PING_FRAME:
            if flags & END:
                event = self.pings.get(payload)
                if event:
                    event.set()
            else:
                self._write(PING_FRAME, 0, END, payload)
        elif kind == GOAWAY_FRAME:
            code, _, _, _, _ = GOAWAY.unpack_from(payload)
            reason = read_tlvs(payload[GOAWAY.size :]).get(1, b"").decode()
            self.goaway = GoneAway(code, reason or "the server is going away", RETRYABLE)
        elif kind == CREDIT_FRAME and number == 0:
            self.window += struct.unpack("<I", payload)[0]
        elif kind == OPEN_FRAME:
            # This client offers nothing that could be called.
            if number:
                error = ERROR.pack(REFUSED, NOT_PROCESSED, 0, 0, 0)
                self._write(ERROR_FRAME, number, END, error)
        elif number in self.streams:
            self._stream_frame(self.streams[number], kind, flags, payload)

    def _welcome(self, payload):
        for key, value in read_tlvs(payload[4:]).items():
            if key in self.limits and len(value) == 4:
                self.limits[key] = struct.unpack("<I", value)[0]
        self.window += self.limits[WINDOW] - 64 * 1024
        self.welcomed.set()

    def _stream_frame(self, stream, kind, flags, payload):
        if kind == CREDIT_FRAME:
            stream.send_credit += struct.unpack("<I", payload)[0]
            return
        if kind == ERROR_FRAME:
            code, eflags, retry_after, length, _ = ERROR.unpack_from(payload)
            text = payload[ERROR.size : ERROR.size + length].decode()
            stream.inbox.put(Failure(code, text, eflags, retry_after))
        elif kind == CANCEL_FRAME:
            stream.inbox.put(Failure(struct.unpack_from("<H", payload)[0], "cancelled by the server"))
        else:
            self._message(stream, kind, flags, payload)
        if flags & END or kind in (ERROR_FRAME, CANCEL_FRAME):
            stream.remote_done = True
            if not stream.local_done:
                stream.local_done = True
                self._write(DATA_FRAME, stream.number, END, b"")
            self._forget(stream)

    def _message(self, stream, kind, flags, payload):
        stream.pieces.append((kind, payload))
        if flags & MORE:
            return
        kind, whole = stream.pieces[0][0], b"".join(piece for _, piece in stream.pieces)
        stream.pieces = []
        if kind == MSG_FRAME:
            length, dropped, _ = MSG.unpack_from(whole)
            topic = whole[MSG.size : MSG.size + length].decode()
            stream.inbox.put(((topic, self._decoded(whole[MSG.size + length :])),))
        elif whole or not flags & END or stream.kind in (CALL, CLIENT_STREAM, PUBLISH):
            stream.inbox.put((self._decoded(whole),))
        if flags & END:
            stream.inbox.put(EndOfStream())

    def _decoded(self, body):
        if body[:1] == b"\0":
            return body[1:]
        return json.loads(body) if body else None

    def _charge(self, length):
        """Half a window received is half a window granted again."""
        self.owed += length
        if self.owed * 2 >= OUR_WINDOW:
            self._write(CREDIT_FRAME, 0, 0, struct.pack("<I", self.owed))
            self.owed = 0

    def _fail(self, failure):
        with self.lock:
            self.failure = self.failure or failure
            for stream in self.streams.values():
                stream.inbox.put(self.failure)
            self.welcomed.set()
            self.lock.notify_all()


def encoded(value):
    """JSON; bytes stand behind a zero byte."""
    return b"\0" + value if isinstance(value, bytes) else json.dumps(value).encode()


def main():
    parser = argparse.ArgumentParser(description="A small client of SWP/1")
    parser.add_argument("endpoint", help="HOST:PORT")
    parser.add_argument("what", choices=["call", "stream", "sub", "pub", "ping"])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("body", nargs="?", default="null")
    parser.add_argument("--count", type=int, default=0, help="sub: end after so many messages")
    parser.add_argument("--token")
    options = parser.parse_args()
    host, _, port = options.endpoint.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        parser.error(f'"{options.endpoint}" is no HOST:PORT')
    if options.what != "ping" and options.name == "":
        parser.error(f"{options.what} takes the name of a route or topic")
    try:
        body = json.loads(options.body)
    except json.JSONDecodeError as error:
        parser.error(f"the body is no JSON: {error}")
    try:
        with Client(host.strip("[]") or "127.0.0.1", int(port), token=options.token) as client:
            if options.what == "call":
                print(json.dumps(client.call(options.name, body)))
            elif options.what == "stream":
                for message in client.stream(options.name, body):
                    print(json.dumps(message), flush=True)
            elif options.what == "pub":
                client.publish(options.name, body)
            elif options.what == "ping":
                client.ping()
                print("pong")
            else:
                for number, (topic, message) in enumerate(client.subscribe(options.name), 1):
                    print(topic, json.dumps(message), flush=True)
                    if number == options.count:
                        break
    except (Failure, OSError) as error:
        print(f"swp.py: {error} ({getattr(error, 'code', 'no connection')})", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
