#!/usr/bin/env python3
"""Publishes this machine's live figures to topic demo/system, and who is connected to demo/presence, once a second."""

import argparse
import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from herald_client import as_json, log, run_forever, session_service_pb2


class Machine:
    """Reads /proc; what counts upwards there becomes a rate since the last reading."""

    def __init__(self):
        self._previous = None

    def read(self):
        now = time.monotonic()
        busy, total = self._cpu()
        received, sent = self._network()
        was = self._previous or (now - 1, busy, total, received, sent)
        self._previous = (now, busy, total, received, sent)
        seconds = max(now - was[0], 1e-3)
        memory = self._memory()
        return {
            "host": socket.gethostname(),
            "cores": os.cpu_count(),
            "cpu": round(100 * (busy - was[1]) / max(total - was[2], 1), 1),
            "memory": {"used": memory["MemTotal"] - memory["MemAvailable"], "total": memory["MemTotal"]},
            "load": [round(load, 2) for load in os.getloadavg()],
            "net": {"in": round((received - was[3]) / seconds), "out": round((sent - was[4]) / seconds)},
            "uptime": float(Path("/proc/uptime").read_text().split()[0]),
        }

    @staticmethod
    def _cpu():
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]  # idle, iowait
        return sum(ticks) - idle, sum(ticks)

    @staticmethod
    def _memory():
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        return {name.rstrip(":"): int(kib) * 1024 for name, kib, *_ in lines}

    @staticmethod
    def _network():  # all interfaces, loopback too: that is where the demo's traffic is
        rows = [line.split(":")[1].split() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
        return sum(int(row[0]) for row in rows), sum(int(row[8]) for row in rows)


def presence(herald):
    def news(session):
        protocol = session_service_pb2.Protocol.Name(session.protocol)
        return {"session_id": session.session_id, "user_id": session.user_id, "labels": dict(session.labels),
                "topics": list(session.topics), "protocol": protocol.removeprefix("PROTOCOL_").lower(),
                "opened_at": session.opened_at.ToJsonString()}

    response = herald.sessions.ListSessions(
        session_service_pb2.ListSessionsRequest(page_size=50), metadata=herald.metadata, timeout=5)
    return {"total": response.total, "sessions": [news(session) for session in response.sessions]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="127.0.0.1:50051", help="Herald's gRPC address (default %(default)s)")
    parser.add_argument("--interval", type=float, default=1, help="seconds between two readings (default %(default)s)")
    parser.add_argument("--token", help="producer token, where the server asks for one")
    parser.add_argument("--ctl", default="heraldctl", help="how the demo page should call heraldctl (default %(default)s)")
    args = parser.parse_args()
    machine = Machine()

    def feed(herald):
        push = herald.open_push()
        log(f"publishing to demo/system and demo/presence every {args.interval:g} s")
        due = time.monotonic()
        while True:
            figures = machine.read() | {"ctl": args.ctl, "addr": args.addr}
            push.deliver(as_json(figures, event="figures"), topic="demo/system")
            push.deliver(as_json(presence(herald), event="presence"), topic="demo/presence")
            due = max(due + args.interval, time.monotonic())  # no catching up after a pause
            time.sleep(max(0, due - time.monotonic()))

    run_forever(args.addr, feed, args.token)


if __name__ == "__main__":
    main()
