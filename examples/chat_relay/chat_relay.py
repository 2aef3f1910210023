#!/usr/bin/env python3
"""Relays each client's text to all others as `<id>: <text>`, never back to the sender."""

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from herald_client import log, run_forever, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="127.0.0.1:50051", help="Herald's gRPC address (default %(default)s)")
    args = parser.parse_args()
    numbers, next_number = {}, itertools.count(1)  # session id → the short id that people see

    def number_of(session_id):
        if session_id not in numbers:
            numbers[session_id] = next(next_number)
        return numbers[session_id]

    def relay(herald):
        push = herald.open_push()
        for event in herald.watch(["session_opened", "session_closed", "client_message"]):
            number = number_of(event.session_id)
            kind = event.WhichOneof("detail")
            if kind == "session_opened":
                log(f"{number} came")
            elif kind == "session_closed":
                log(f"{number} left")
                del numbers[event.session_id]
            elif kind == "client_message":
                line = f"{number}: ".encode() + event.client_message.payload
                log(line.decode(errors="replace"))
                push.deliver(text(line, content_type=""), all=True, except_sessions=[event.session_id])

    run_forever(args.addr, relay)


if __name__ == "__main__":
    main()
