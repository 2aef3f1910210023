"""The delivery checker: producers write numbered messages, clients log what they see, and every message is accounted for.

    tests/checker/run --rounds 200
    tests/checker/run --seed 7 --only 31        one round again
    tests/checker/run --nats --help             many replicas over NATS: see cluster_checker.py

Each round has its own topics, users and clients on one server (--threads=2), and breaks what it can: clients are cut, stalled, half-closed,
orphaned, closed and replaced; they subscribe and unsubscribe; producers' streams are reset at random commands and send again. See
docs/development.md, and scenario.py for what a round does.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from classify import AWAY, COLLAPSED, DELIVERED, DUPLICATE, NEEDLESS, PHANTOM, REORDERED, SIGNALLED, SILENT
from clients import Clients
from harness import Herald
from receipts import OVERSTATED
from scenario import FLAGS, RULES, Round, Settings

SHOWN = 20  # findings


def arguments():
    parser = argparse.ArgumentParser(prog="tests/checker/run", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", default=str(random.randrange(10**6)), help="printed; the same seed does the same, as far as timing lets it")
    parser.add_argument("--only", type=int, help="this round of the seed and no other")
    parser.add_argument("--parallel", type=int, default=4, help="rounds under way at once")
    parser.add_argument("--seconds", type=float, default=1.2, help="of trouble in a round")
    parser.add_argument("--no-faults", action="store_true", help="nothing is broken")
    parser.add_argument("--threads", type=int, default=2, help="of the server")
    parser.add_argument("--flag", action="append", default=[], help="one more flag for the server, such as --flag=--broker=nats")
    parser.add_argument("--sdk", type=Path, help="another SDK than the one that the server serves: one ES module")
    parser.add_argument("--logs", type=Path, help="folder for the logs of rounds that fail (default: a temporary one)")
    return parser.parse_args()


class Totals:
    def __init__(self):
        self.counts, self.reasons, self.numbers, self.ends = Counter(), Counter(), Counter(), Counter()
        self.bad = []

    def add(self, outcome):
        self.counts += outcome.report.counts
        self.reasons += outcome.report.reasons
        self.ends += outcome.ends
        for name in ("messages", "repeats", "dropped_by_sdk", "receipts", "acked", "streams", "connections", "faults"):
            self.numbers[name] += getattr(outcome, name)
        self.numbers["overstated"] += sum(problem.startswith(OVERSTATED) for problem in outcome.problems)
        self.numbers["problems"] += sum(not problem.startswith(OVERSTATED) for problem in outcome.problems)
        if not outcome.good:
            self.bad.append(outcome)

    def line(self):
        c, n = self.counts, self.numbers
        return (f"delivered {c[DELIVERED]}, signalled loss {c[SIGNALLED]}, collapsed {c[COLLAPSED]}, away {c[AWAY]} | silent loss {c[SILENT]}, "
                f"duplicates {c[DUPLICATE]}, reordered {c[REORDERED]}, phantom {c[PHANTOM]}, needless loss {c[NEEDLESS]}, "
                f"receipts overstated {n['overstated']}, other problems {n['problems']}")


async def check(options, heralds, sdk):
    """Plays the rounds; returns Totals."""
    settings = Settings(seconds=options.seconds, faults=not options.no_faults)
    totals, numbers, rounds = Totals(), itertools.count(1), [options.only] if options.only is not None else range(options.rounds)
    waiting, done, began = iter(rounds), 0, time.monotonic()

    async def work():
        nonlocal done
        for number in waiting:
            totals.add(await asyncio.wait_for(Round(number, options.seed, clients, heralds, numbers, settings).play(), 180))
            done += 1
            if done % 10 == 0 or done == len(rounds):
                print(f"{done:4} rounds, {time.monotonic() - began:4.0f} s: {totals.line()}", flush=True)

    async with Clients(sdk) as clients:
        await asyncio.gather(*(work() for _ in range(options.parallel)))
        if clients.errors:
            print("the clients' process says:", *clients.errors[:SHOWN], sep="\n  ")
            totals.numbers["problems"] += 1
    return totals


def report(options, totals):
    n = totals.numbers
    print(f"messages {n['messages']}, repeats answered as duplicates {n['repeats']}, producer streams {n['streams']}, client connections "
          f"{n['connections']}, faults {n['faults']}, receipts {n['receipts']} with {n['acked']} acks, messages dropped by the SDK {n['dropped_by_sdk']}, "
          f"gap events {dict(totals.reasons)}, connections' ends {dict(totals.ends)}")
    for outcome in totals.bad[:SHOWN]:
        print(f"\nround {outcome.number} failed; again: tests/checker/run --seed {options.seed} --only {outcome.number}")
        for finding in [*outcome.problems, *outcome.report.findings][:SHOWN]:
            print(f"  {finding}")
    if totals.bad:
        folder = options.logs or Path(tempfile.mkdtemp(prefix="herald-checker-"))
        folder.mkdir(parents=True, exist_ok=True)
        for outcome in totals.bad:
            with (folder / f"round-{outcome.number}.ndjson").open("w") as file:
                for message in outcome.truth.messages.values():
                    print(json.dumps(["sent", vars(message)]), file=file)
                for receipt in outcome.truth.receipts:
                    print(json.dumps(["receipt", vars(receipt)]), file=file)
                for name, events in outcome.logs.items():
                    for event in events:
                        print(json.dumps([name, *event]), file=file)
        print(f"\nlogs of {len(totals.bad)} rounds: {folder}")
    failed = bool(totals.bad or n["problems"])
    print(f"{'FAILED' if failed else 'OK'}: {totals.line()}")
    return 1 if failed else 0


def main():
    if "--nats" in sys.argv[1:]:
        import cluster_checker
        sys.exit(cluster_checker.main([word for word in sys.argv[1:] if word != "--nats"]))
    options = arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="herald-checker-")))
        (folder / "herald.yaml").write_text(RULES)
        herald = stack.enter_context(Herald(f"--config={folder / 'herald.yaml'}", *FLAGS, *options.flag, threads=options.threads))
        sdk = options.sdk
        if sdk is None:
            status, body, _ = herald.http("/herald.js", base=f"http://{herald.client_addr}")
            if status != 200:
                sys.exit(f"/herald.js answers {status}")
            sdk = folder / "herald.mjs"
            sdk.write_text(body)
        print(f"seed {options.seed}", flush=True)
        totals = asyncio.run(check(options, [herald], sdk.resolve()))
        if herald.returncode is not None:
            print(f"herald ended with {herald.returncode}:\n{herald.output[-2000:]}")
            totals.numbers["problems"] += 1
    sys.exit(report(options, totals))


if __name__ == "__main__":
    main()
