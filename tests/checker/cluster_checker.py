"""The delivery checker on many replicas: `tests/checker/run --nats`.

    tests/checker/run --nats                                 each fault once, as long as it is meant to last
    tests/checker/run --nats --rounds 20                     each 20 times: some two hours and a half
    tests/checker/run --nats --short                         each once, briefly: what the test suite does
    tests/checker/run --nats --faults replica-killed,nats-rolled --rounds 5 --seed 7 --json FILE

3 herald replicas and 3 nats-servers with streams of 3 replicas; new ones for each kind of fault (unless --short) and after a round that failed.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from classify import DELIVERED, DUPLICATE, FALSE_RECOVERED, NEEDLESS, PHANTOM, REORDERED, SIGNALLED, SILENT
from clients import Clients
from cluster import Cluster
from cluster_round import FLAGS, RULES, RECOVERY_SECONDS, ClusterRound, Load
from faults import FAULTS, OTHERS
from receipts import OVERSTATED

SHOWN = 12  # findings of a round
ROUND_SECONDS = 300
TOLD = (SILENT, DUPLICATE, REORDERED, PHANTOM, FALSE_RECOVERED, NEEDLESS)


def arguments(words):
    parser = argparse.ArgumentParser(prog="tests/checker/run --nats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="of each fault")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of {', '.join([*FAULTS, *OTHERS])}")
    parser.add_argument("--short", action="store_true", help="brief faults")
    parser.add_argument("--duration", type=float, help="seconds of each fault, where that is a choice")
    parser.add_argument("--seed", default=str(random.randrange(10**6)), help="printed; decides who does what and when it is tried")
    parser.add_argument("--rate", type=float, default=Load.rate, help="commands a second of each of the producers")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3, help="nats-servers: 3, 1, or 0 to try the checker with the embedded broker")
    parser.add_argument("--nats-server", type=Path, help="another binary; else 2.12 where it is there, or Debian's")
    parser.add_argument("--no-reports", action="store_true", help="no command asks for a receipt")
    parser.add_argument("--flag", action="append", default=[], help="one more flag for every replica")
    parser.add_argument("--json", type=Path, help="file for the summary")
    parser.add_argument("--logs", type=Path, help="folder for the logs of rounds that fail (default: a temporary one)")
    options = parser.parse_args(words)
    options.faults = options.faults.split(",")
    if unknown := set(options.faults) - set(FAULTS | OTHERS):
        parser.error(f"unknown faults {sorted(unknown)}; there are {', '.join([*FAULTS, *OTHERS])}")
    return options


class Sum:
    """Of the rounds of one fault."""

    def __init__(self):
        self.rounds = self.messages = self.streams = self.connections = self.repeats = self.receipts = self.failed = 0
        self.counts, self.reasons, self.problems = Counter(), Counter(), Counter()
        self.recovery = []

    def add(self, outcome):
        self.rounds += 1
        self.failed += not outcome.good
        for name in ("messages", "streams", "connections", "repeats", "receipts"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        self.counts += outcome.report.counts
        self.reasons += outcome.report.reasons
        self.problems["overstated"] += sum(problem.startswith(OVERSTATED) for problem in outcome.problems)
        self.problems["others"] += sum(not problem.startswith(OVERSTATED) for problem in outcome.problems)
        if outcome.recovery:
            self.recovery.append(round(outcome.recovery, 2))

    def as_dict(self):
        return {"rounds": self.rounds, "failed": self.failed, "messages": self.messages, "delivered": self.counts[DELIVERED],
                **{kind.replace(" ", "_"): self.counts[kind] for kind in TOLD}, "receipts_overstated": self.problems["overstated"],
                "other_problems": self.problems["others"], "signalled": self.counts[SIGNALLED], "gap_reasons": dict(self.reasons),
                "repeats": self.repeats, "receipts": self.receipts, "producer_streams": self.streams, "client_connections": self.connections,
                "recovery_seconds": {"max": max(self.recovery, default=None), "median": statistics.median(self.recovery) if self.recovery else None,
                                     "missing": self.rounds - len(self.recovery)}}

    def line(self):
        d, recovery = self.as_dict(), self.recovery
        return (f"{d['messages']} messages, delivered {d['delivered']}, " + ", ".join(f"{kind} {self.counts[kind]}" for kind in TOLD) +
                f", receipts overstated {d['receipts_overstated']}, other problems {d['other_problems']}, gaps {d['gap_reasons']}, "
                f"recovered after {max(recovery, default=float('nan')):.1f} s at most")


def write_log(folder, outcome, cluster_logs):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{outcome.fault}-{outcome.number}.ndjson").open("w") as file:
        for finding in [*outcome.problems, *outcome.report.findings]:
            print(json.dumps(["finding", str(finding)]), file=file)
        for kind, things in (("sent", outcome.truth.messages.values()), ("place", outcome.truth.places), ("receipt", outcome.truth.receipts)):
            for thing in things:
                print(json.dumps([kind, vars(thing)]), file=file)
        for name, events in outcome.logs.items():
            for event in events:
                print(json.dumps([name, *event]), file=file)
    for name, output in cluster_logs.items():
        (folder / f"{outcome.fault}-{outcome.number}-{name}.log").write_text(output)


class Play:
    """Plays rounds, [(fault's name, number)], in order: on one cluster until one fails, then on a new one."""

    def __init__(self, options, folder, logs, sums):
        self.options, self.folder, self.logs, self.sums = options, folder, logs, sums
        self.numbers = itertools.count(1)
        (folder / "herald.yaml").write_text(RULES)

    async def play(self, rounds):
        options = self.options
        rounds = list(rounds)
        while rounds:
            cluster = Cluster([f"--config={self.folder / 'herald.yaml'}", *FLAGS, *options.flag], options.replicas, options.nodes,
                              options.nats_server)
            await asyncio.to_thread(cluster.__enter__)
            try:
                async with Clients(self.sdk_of(cluster)) as clients:
                    while rounds and (await self.one(*rounds.pop(0), cluster, clients)).good:
                        pass
            finally:
                await asyncio.to_thread(cluster.__exit__)

    async def one(self, name, number, cluster, clients):
        options, began = self.options, time.monotonic()
        fault, seconds, short = (FAULTS | OTHERS)[name]
        seconds = options.duration if options.duration is not None else short if options.short else seconds
        load = Load(rate=options.rate, reports=not options.no_reports)
        # Among other tests on busy cores an election of NATS alone may take most of it.
        recovery = 3 * RECOVERY_SECONDS if options.short else RECOVERY_SECONDS
        round_ = ClusterRound(name, number, options.seed, clients, cluster, self.numbers, load, fault, seconds, recovery)
        outcome = round_.outcome
        try:
            await asyncio.wait_for(round_.play(), ROUND_SECONDS)
        except Exception as error:
            outcome.problems += [f"the round failed: {type(error).__name__}: {error}", *cluster.check()]
        if clients.errors:
            outcome.problems.append(f"the clients' process says: {clients.errors[:3]}")
        self.sums[name].add(outcome)
        print(f"{name} {number + 1}/{options.rounds} {'ok' if outcome.good else 'FAILED'} {time.monotonic() - began:.0f} s "
              f"{' '.join(outcome.notes)}: {outcome.messages} messages, delivered {outcome.report.counts[DELIVERED]}, recovered after "
              f"{outcome.recovery:.1f} s, gaps {dict(outcome.report.reasons)}", flush=True)
        if not outcome.good:
            for finding in [*outcome.problems, *outcome.report.findings][:SHOWN]:
                print(f"    {str(finding)[:1000]}", flush=True)
            write_log(self.logs, outcome, {replica.name: replica.output for replica in cluster.replicas} |
                      {node.name: node.output for node in (cluster.nats.nodes if cluster.nats else ())})
        return outcome

    def sdk_of(self, cluster):
        status, body, _ = cluster.replicas[0].herald.http("/herald.js", base=f"http://{cluster.replicas[0].client_addr}")
        if status != 200:
            sys.exit(f"/herald.js answers {status}")
        (self.folder / "herald.mjs").write_text(body)
        return self.folder / "herald.mjs"


def main(words):
    options, began = arguments(words), time.monotonic()
    sums = {name: Sum() for name in options.faults}
    logs = options.logs or Path(tempfile.mkdtemp(prefix="herald-checker-"))
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="herald-checker-") as folder:
        play = Play(options, Path(folder), logs, sums)
        groups = [options.faults] if options.short else [[name] for name in options.faults]
        for names in groups:
            asyncio.run(play.play((name, number) for name in names for number in range(options.rounds)))
            for name in names:
                print(f"{name}: {sums[name].line()}", flush=True)
    failed = sum(one.failed for one in sums.values())
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "seconds": round(time.monotonic() - began), "failed": failed,
                                            "faults": {name: one.as_dict() for name, one in sums.items()}}, indent=1) + "\n")
    if failed:
        print(f"logs of {failed} rounds: {logs}")
    elif not options.logs:
        logs.rmdir()
    print(f"{'FAILED' if failed else 'OK'}: {sum(one.rounds for one in sums.values())} rounds in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0
