"""What is run: the workloads P1 to P12, and who takes part in each."""

from dataclasses import dataclass
from typing import Callable

FLOOR_MAY_MOVE = 1.3  # largest over smallest of a floor's figures; beyond that the machine was too restless to compare


FLOORS = {"bare": "floor: a loop of send", "bare_io_uring": "floor: the loop by io_uring",
          "grpc_echo": "floor: an empty gRPC echo", "grpc_echo_callbacks": "floor: the echo by gRPC's callbacks", "nats": "floor: NATS alone"}


@dataclass(frozen=True)
class Entrant:
    """A server under a workload of herald-bench."""

    name: str  # in results and tables
    workload: str  # of herald-bench
    server: str = "herald"  # herald, a floor, or a folder of bench/peers
    flags: tuple = ()  # for herald-bench
    optional: bool = False  # a variant that need not exist here: no failure if it does not run


@dataclass(frozen=True)
class Workload:
    name: str  # p1
    title: str
    entrants: tuple  # each runs once in a turn
    figure: Callable  # of one run, what its entrants are compared by; None if it has none
    floor: str = ""  # name of the entrant whose figure has to stand still
    seconds: float = 6  # of one run, before any was seen
    limit: float = 180  # seconds after which a run has failed
    rounds: int = 0  # 0: as asked for
    turns: int = 1  # in a round: more and shorter ones where a few hundredths are what it is about
    by_default: bool = True


def field_of(name):
    """Reads a field of a run; `a.b` is b of a. None if it is not there."""
    def get(run):
        value = run
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value
    return get


cpu_per_delivery = field_of("server_cpu_us_per_delivery")


def mean_of_series(run):
    points = [point["server_cpu_us_per_delivery"] for point in run.get("series", [])]
    return sum(points) / len(points) if points else None


def workloads(peers):
    """`peers`: those that are installed."""
    def herald(workload, name="herald", **options):
        return Entrant(name, workload, **options)

    def bare(workload, **options):
        return Entrant("bare", workload, "bare", **options)

    def all_peers(workload):
        return tuple(Entrant(peer.name, workload, peer.folder) for peer in peers)

    short = ("--seconds=0.8",)
    return [
        Workload("p1", "burst fan-out", (herald("p1"), bare("p1"), *all_peers("p1")), cpu_per_delivery, "bare"),
        Workload("p2", "paced fan-out",
                 (herald("p2", flags=short), herald("p2", "herald --io_uring=off", flags=("--herald_flags=--io_uring=off", *short)),
                  bare("p2", flags=short), Entrant("bare_io_uring", "p2", "bare_io_uring", flags=short, optional=True)),
                 cpu_per_delivery, "bare", seconds=2, turns=6),
        Workload("p3", "ingest",
                 (herald("p3"), Entrant("grpc_echo", "p3", "grpc_echo"), Entrant("grpc_echo_callbacks", "p3", "grpc_echo_callbacks")),
                 field_of("commands_per_core_second"), "grpc_echo"),
        Workload("p4", "unicast", (herald("p4"),), field_of("latency_us.p99"), seconds=10),
        Workload("p5", "memory of an idle session", (herald("p5"), *all_peers("p5")), field_of("bytes_per_session.user")),
        Workload("p6", "a million sessions", (herald("p6"),), field_of("seconds"),
                 seconds=400, limit=1800, rounds=1, by_default=False),
        Workload("p7", "handshakes", (herald("p7"), *all_peers("p7")), field_of("handshakes_per_core_second")),
        Workload("p8", "reconnect storm", (herald("p8"),), field_of("seconds"), seconds=20),
        Workload("p9", "history, acks and receipts", (herald("p9"), herald("p1", "herald, workload P1")), cpu_per_delivery),
        Workload("p10", "growth", (herald("p10"), bare("p10")), mean_of_series, "bare", seconds=45, limit=400),
        Workload("p11", "stopped readers", (herald("p11"),), field_of("latency_us.p99"), seconds=15),
        Workload("p12", "across replicas", (herald("p12"), Entrant("nats", "p12", "nats")), field_of("latency_us.p50"), seconds=10),
    ]
