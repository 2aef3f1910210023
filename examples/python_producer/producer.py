#!/usr/bin/env python3
"""Pushes numbered messages, each carried out once and in order whatever becomes of the connection, and waits for a result for each."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from herald_client import Herald, as_json, log


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="127.0.0.1:50051", help="Herald's gRPC address, or several with commas between (default %(default)s)")
    parser.add_argument("--topic", default="demo/numbers", help="default %(default)s")
    parser.add_argument("--count", type=int, default=1000, help="default %(default)s")
    parser.add_argument("--token", help="producer token, where the server asks for one")
    args = parser.parse_args()
    codes = []
    started = time.monotonic()
    with Herald(args.addr, args.token) as herald:
        push = herald.open_safe_push(lambda result: codes.append(result.code))
        for number in range(1, args.count + 1):
            push.deliver(as_json({"number": number}, event="number"), topic=args.topic)
        push.close()
    failed = sum(code != 0 for code in codes)
    log(f"{len(codes)} results, {failed} failed, {time.monotonic() - started:.2f} s")
    sys.exit(0 if len(codes) == args.count and not failed else 1)


if __name__ == "__main__":
    main()
