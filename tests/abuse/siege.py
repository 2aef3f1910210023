"""Every flood of section G against a Herald in a memory cgroup, beside honest clients and a producer.

    siege.py                           each flood alone for 60 s, then three at once; 256 MiB, defaults
    siege.py --seconds 10 rapid_reset tiny_frames
    siege.py --three --seconds 60      only the runs with three floods at once

Prints one line a run: whether Herald lived, its peak of memory, the honest clients' latency beside
that of peace, and what they lost without being told. Exit code 1 if a run failed. $HERALD_BIN is
the binary. Takes `--seconds` and some 15 s more for each run, all on loopback.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import floods
import crowd
import tokens
from cgroup import MemoryCgroup
from harness import Herald

LIMIT = 256 << 20
PEACE_SECONDS = 10
RULES = """
topic_rules:
  - pattern: "chat/**"
    history_size: 100
    client_publish: granted
  - pattern: "siege/feed"
    history_size: 10000
  - pattern: "siege/room"
    history_size: 1000
    join_leave: true
"""


def start(group, directory, extra):
    config = Path(directory) / "herald.yaml"
    config.write_text(RULES)
    return Herald(f"--config={config}", f"--jwt_secret_file={tokens.write_secret(directory)}", *extra,
                  dev=False, threads=0, wrap=group.wrap())


def lowered(flood, target, seconds):
    """The attacker gets what is left of the machine: it is the server that is measured, not the cores."""
    os.nice(19)
    flood(target, seconds)


class Honest:
    """The child process of crowd.py."""

    def __init__(self, herald, sessions, rate, metadata=None):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=crowd.run, args=(theirs, herald.client_url, herald.grpc_addr, sessions, rate, metadata), daemon=True)
        self._process.start()
        self._answer(60)

    def report(self, since):
        self._pipe.send(("report", since))
        return self._answer(60)

    def stop(self):
        self._pipe.send(("stop", 0))
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self, timeout):
        if not self._pipe.poll(timeout):
            raise AssertionError(f"the honest clients did not answer in {timeout} s")
        return self._pipe.recv()


def siege(names, seconds, sessions, rate, extra):
    """One run: (ok, line)."""
    known = floods.FLOODS | floods.TLS_FLOODS
    with tempfile.TemporaryDirectory() as directory, MemoryCgroup(LIMIT) as group:
        herald = start(group, directory, extra)
        attackers, problems, peace, war = [], [], {}, {}
        try:
            crowd = Honest(herald, sessions, rate)
            since = time.time()
            time.sleep(PEACE_SECONDS)
            peace = crowd.report(since)
            address = tuple((host, int(port)) for host, port in
                            (addr.rsplit(":", 1) for addr in (herald.client_addr, herald.grpc_addr)))
            target = floods.Target(*address)
            context = multiprocessing.get_context("spawn")
            for name in names:
                process = context.Process(target=lowered, args=(known[name], target, seconds), daemon=True)
                process.start()
                attackers.append(process)
            since, end = time.time(), time.monotonic() + seconds
            while time.monotonic() < end and herald.returncode is None:
                time.sleep(0.05)
            if herald.returncode is not None:
                problems.append(f"ended with {herald.returncode}")
            else:
                war = crowd.report(since)
                ready = herald.http("/readyz")
                if ready[0] != 200:
                    problems.append(f"/readyz {ready[0]} {ready[1].strip()}")
            crowd.stop()
        finally:
            for process in attackers:
                process.terminate()
                process.join(10)
            peak = group.peak()
            herald.stop()
        if group.oom_kills():
            problems.append("OOM-killed")
        if peak >= LIMIT:
            problems.append("at the limit")
        if war:
            if war["untold"]:
                problems.append(f"{war['untold']} lost without a word")
            if not war["messages"]:
                problems.append("nothing arrived")
            elif war["p99_ms"] > 3 * peace["p99_ms"]:
                problems.append(f"p99 {war['p99_ms'] / peace['p99_ms']:.1f} × peace")
    def ms(value):
        return "-" if value is None else f"{value:.1f}"
    line = (f"{' + '.join(names):60s} {'FAILED ' + ', '.join(problems) if problems else 'ok'}; peak {peak / 2**20:.0f} MiB; "
            f"p99 {ms(peace.get('p99_ms'))} → {ms(war.get('p99_ms'))} ms, p50 {ms(peace.get('p50_ms'))} → {ms(war.get('p50_ms'))}; "
            f"{war.get('messages', 0)} messages, told {war.get('told')}, reconnects {war.get('reconnects')}, "
            f"results {war.get('results')} {war.get('closes') or ''}")
    return not problems, line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20, help="messages a second to all sessions")
    parser.add_argument("--three", action="store_true", help="only runs with three floods at once")
    parser.add_argument("--together", action="store_true", help="the named floods at once, one run")
    parser.add_argument("--flag", action="append", default=[], help="for herald, as --flag=--max_sessions=5")
    parser.add_argument("floods", nargs="*", choices=[[], *floods.FLOODS, *floods.TLS_FLOODS])
    options = parser.parse_args()
    names = options.floods or list(floods.FLOODS)
    alone = [[name] for name in names]
    shuffled = random.Random(1).sample(names, len(names))
    threes = [shuffled[i:i + 3] for i in range(0, len(shuffled) - 2, 3)]
    runs = [names] if options.together else threes if options.three else alone + (threes if not options.floods else [])
    ok = True
    for run in runs:
        good, line = siege(run, options.seconds, options.sessions, options.rate, options.flag)
        print(line, flush=True)
        ok = ok and good
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
