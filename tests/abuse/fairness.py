"""What a producer that floods does to another: latency of the other's messages in peace, and beside a flood at ten times its rate.

    fairness.py [--seconds 20] [--rounds 3] [--rate 2000]

Peace and flood take turns. $HERALD_BIN is the binary. Exit code 1 if the median ratio of the p99 is above 1.2, or if a message of
the calm producer was lost or limited. All on loopback; takes rounds × 2 × seconds.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import producers_file
import tokens
from harness import Herald
from siege import RULES, Honest

BATCH = 64
MOST = 1.2


def flood(grpc_addr, rate, seconds):
    """Commands at ten times `rate`, in batches on one Push stream; at the end, prints how many were taken and how many refused."""
    os.nice(19)
    import grpc

    from producer import push_service_pb2, push_service_pb2_grpc
    from push import command

    batch = push_service_pb2.PushRequest(commands=[command(0, b"{}", topic="flood") for _ in range(BATCH)])
    end = time.monotonic() + seconds
    due = time.monotonic()

    def requests():
        nonlocal due
        while time.monotonic() < end:
            yield batch
            due += BATCH / (10 * rate)
            time.sleep(max(0, due - time.monotonic()))

    results = {}
    with grpc.insecure_channel(grpc_addr, [("grpc.enable_http_proxy", 0)]) as channel:
        push = push_service_pb2_grpc.PushServiceStub(channel)
        metadata = [("authorization", f"Bearer {producers_file.token_of('flood')}")]
        for response in push.Push(requests(), metadata=metadata, timeout=seconds + 10):
            for result in response.results:
                results[result.code] = results.get(result.code, 0) + 1
    print(f"  flood: {results.get(0, 0)} taken, {results.get(8, 0)} above the rate", file=sys.stderr, flush=True)


def measure(herald, crowd, rate, seconds):
    """p99 in milliseconds, of what was sent in the next `seconds`."""
    attacker = None
    if rate:
        attacker = multiprocessing.get_context("spawn").Process(target=flood, args=(herald.grpc_addr, rate, seconds + 3), daemon=True)
        attacker.start()
        time.sleep(2)  # it has started, and is above its rate
    since = time.time()
    time.sleep(seconds)
    report = crowd.report(since)
    if attacker:
        attacker.join(30)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=2000, help="commands a second that the flooding producer may send")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory) / "herald.yaml"
        rules.write_text(RULES)
        rights = producers_file.write(
            Path(directory) / "producers",
            producers_file.entry("flood", may=["deliver"], topics=["flood"], commands_per_second=options.rate),
            producers_file.entry("calm", may=["deliver"], topics=["siege/**"], commands_per_second=options.rate))
        secret = f"--jwt_secret_file={tokens.write_secret(directory)}"
        with Herald(f"--config={rules}", secret, rights, dev=False, threads=0) as herald:
            metadata = [("authorization", f"Bearer {producers_file.token_of('calm')}")]
            crowd = Honest(herald, sessions=20, rate=100, metadata=metadata)
            ratios, results = [], {}
            for number in range(1, options.rounds + 1):
                peace = measure(herald, crowd, 0, options.seconds)
                war = measure(herald, crowd, options.rate, options.seconds)
                ratios.append(war["p99_ms"] / peace["p99_ms"])
                results = war
                print(f"round {number}: p50 {peace['p50_ms']:.2f} → {war['p50_ms']:.2f} ms, p99 {peace['p99_ms']:.2f} → "
                      f"{war['p99_ms']:.2f} ms ({ratios[-1]:.2f} ×)", flush=True)
            crowd.stop()
    refused = {code: count for code, count in results["results"].items() if code}
    print(f"p99 {statistics.median(ratios):.2f} × that of peace; refused {refused or 'none'}, lost {results['untold'] + results['told']}")
    return int(statistics.median(ratios) > MOST or bool(refused) or results["untold"] + results["told"] > 0)


if __name__ == "__main__":
    sys.exit(main())
