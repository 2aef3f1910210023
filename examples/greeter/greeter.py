#!/usr/bin/env python3
"""Greets every client that connects, logs what clients do, and pushes each line typed here to all of them."""

import argparse
import itertools
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from herald_client import RpcError, log, run_forever, text

NORMAL = (1000, 1001, 1005)  # close codes that are no error: done, page left, none given


def who(event):
    return f"{event.session_id[:12]}{f' ({event.user_id})' if event.user_id else ''}"


def on_event(event, push):
    kind = event.WhichOneof("detail")
    if kind == "session_opened":
        log(f"connect  {who(event)} from {event.session_opened.remote_address}")
        push.deliver(text(f"Hello, {event.user_id or 'stranger'}! You are session {event.session_id}."),
                     session_id=event.session_id)
    elif kind == "client_message":
        log(f"message  {who(event)}: {event.client_message.payload.decode(errors='replace')}")
    elif kind == "session_closed":
        closed = event.session_closed
        word = "close   " if closed.code in NORMAL else "error   "
        log(f"{word} {who(event)} code {closed.code} {closed.reason}".rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="127.0.0.1:50051", help="Herald's gRPC address (default %(default)s)")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="push a text to all by itself, this often")
    args = parser.parse_args()
    current = {}  # the Push stream of the connection that is up

    def push_to_all(lines):
        for line in lines:
            try:
                current["push"].deliver(text(line), all=True)
                log(f"pushed to all: {line}")
            except (KeyError, RpcError):
                log(f"not connected, so not pushed: {line}")

    def ticks():
        for number in itertools.count(1):
            time.sleep(args.every)
            yield f"tick {number}"

    def greet(herald):
        current["push"] = push = herald.open_push()
        for event in herald.watch(["session_opened", "session_closed", "client_message"]):
            on_event(event, push)

    lines = ticks() if args.every else (line.rstrip("\n") for line in sys.stdin)
    threading.Thread(target=push_to_all, args=[lines], daemon=True).start()
    run_forever(args.addr, greet)


if __name__ == "__main__":
    main()
