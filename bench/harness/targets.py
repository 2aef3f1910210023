"""The targets of P1 to P12, and what the results say to each."""

from dataclasses import dataclass

from .plan import FLOORS, cpu_per_delivery
from .results import Figure

UNIT_BYTES = 1024


@dataclass(frozen=True)
class Check:
    """One number that has to be at most (or, with `at_least`, at least) a limit."""

    what: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def met(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def of_limit(self):
        return self.value / self.limit


@dataclass(frozen=True)
class Row:
    """What a row of the table says: the target in words, the figure with its unit, others beside it, the checks."""

    target: str
    figure: Figure | None
    unit: str
    scale: float = 1  # the figure is shown multiplied by this
    beside: tuple = ()  # (entrant, Figure)
    checks: tuple = ()


def row(workload, results):
    return ROWS[workload](results)


def _value(figure, scale=1.0):
    return figure and figure.median * scale


def _beside(results, workload, get):
    found = ((name, results.figure(workload, get, name)) for name in results.entrants(workload) if name != "herald")
    return tuple((name, figure) for name, figure in found if figure)


def _peers(beside):
    return [(name, figure) for name, figure in beside if name not in FLOORS and not name.startswith("herald")]


def _p1(results):
    herald = results.figure("p1", cpu_per_delivery)
    beside = _beside(results, "p1", cpu_per_delivery)
    checks = [Check("µs", _value(herald), 0.20)]
    if peers := _peers(beside):
        name, best = min(peers, key=lambda peer: peer[1].median)
        checks.append(Check(f"× {results.title(name)}, the cheapest peer", results.ratio("p1", cpu_per_delivery, name), 1.0))
    return Row("≤ 0.20 µs of server CPU a delivery, below every peer", herald, "µs", beside=beside, checks=tuple(checks))


def _p2(results):
    def over_floor(entrant):
        return results.ratio("p2", cpu_per_delivery, "bare", entrant)
    checks = [Check("× the floor with plain writes", over_floor("herald --io_uring=off"), 1.1)]
    if results.runs("p2", "bare_io_uring"):  # then Herald uses it too
        checks.append(Check("× the floor with io_uring", over_floor("herald"), 0.7))
    return Row("≤ 1.1 × the floor with plain writes, ≤ 0.7 × with io_uring where the kernel allows it", results.figure("p2", cpu_per_delivery), "µs",
               beside=_beside(results, "p2", cpu_per_delivery), checks=tuple(checks))


def _p3(results):
    rate = "commands_per_core_second"
    herald = results.figure("p3", rate)
    return Row("≥ 400,000 commands/s a core, ≥ 0.6 × an empty gRPC echo of the same bytes", herald, "commands/s",
               beside=_beside(results, "p3", rate),
               checks=(Check("commands/s", _value(herald), 400_000, at_least=True),
                       Check("× the echo by gRPC's callbacks", results.ratio("p3", rate, "grpc_echo_callbacks"), 0.6, at_least=True),
                       Check("× the echo by Herald's calls", results.ratio("p3", rate, "grpc_echo"), 0.6, at_least=True)))


def _p4(results):
    p50, p99 = (results.figure("p4", f"latency_us.{name}") for name in ("p50", "p99"))
    return Row("p50 < 0.5 ms, p99 < 3 ms, no loss", p99, "ms p99", 0.001,
               checks=(Check("ms p50", _value(p50, 0.001), 0.5), Check("ms p99", _value(p99, 0.001), 3)))


def _p5(results):
    user = results.figure("p5", "bytes_per_session.user")
    return Row("≤ 4 KiB of user-space memory a session", user, "KiB", 1 / UNIT_BYTES,
               beside=_beside(results, "p5", "bytes_per_session.user"),
               checks=(Check("KiB", _value(user, 1 / UNIT_BYTES), 4),))


def _p6(results):
    seconds = results.figure("p6", "seconds")
    return Row("1,000,000 sessions hold, one broadcast reaches each once in under 60 s", seconds, "s",
               checks=(Check("sessions", _value(results.figure("p6", "sessions")), 1_000_000, at_least=True),
                       Check("s", _value(seconds), 60)))


def _p7(results):
    rate = "handshakes_per_core_second"
    return Row("≥ 0.5 × uWebSockets, a second and core", results.figure("p7", rate), "/s", beside=_beside(results, "p7", rate),
               checks=(Check("× Bun, which is uWebSockets below", results.ratio("p7", rate, "bun"), 0.5, at_least=True),))


def _p8(results):
    def share(run):
        recovered, sessions = run.get("recovered"), run.get("sessions")
        return recovered / sessions if sessions and recovered is not None else None
    seconds, sessions = results.figure("p8", "seconds"), results.figure("p8", "sessions")
    return Row("20,000 sessions come back at once, each resumes 10 messages: all recovered in under 10 s", seconds,
               f"s for {sessions.median:,.0f} sessions" if sessions else "s",
               checks=(Check("of the sessions recovered", _value(results.figure("p8", share)), 1.0, at_least=True),
                       Check("s", _value(seconds), 10)))


def _p9(results):
    herald = results.figure("p9", cpu_per_delivery)
    return Row("≤ 2 × P1", herald, "µs", beside=_beside(results, "p9", cpu_per_delivery),
               checks=(Check("× P1 in the same rounds", results.ratio("p9", cpu_per_delivery, "herald, workload P1"), 2.0),))


def _p10(results):
    points = results.series("p10", "herald")
    costs = [point.median for point in points.values()]
    figure = Figure(costs[-1], min(costs), max(costs)) if costs else None
    growth = max(costs) / min(costs) if costs else None
    return Row("cost of a delivery flat within 1.5 × from 100 to 19,000 sessions", figure,
               f"µs at {max(points):,} sessions" if points else "µs", checks=(Check("× from the cheapest to the dearest", growth, 1.5),))


def _p11(results):
    with_them = results.figure("p11", "latency_us.p99")
    return Row("p99 of the others ≤ 1.2 × that without stopped readers", with_them, "ms p99", 0.001,
               checks=(Check("× without them", _value(results.figure("p11", "p99_ratio")), 1.2),))


def _p12(results):
    latency = "latency_us.p50"
    return Row("from one replica to another, beside NATS alone; no target", results.figure("p12", latency), "ms p50", 0.001,
               beside=_beside(results, "p12", latency))


ROWS = {"p1": _p1, "p2": _p2, "p3": _p3, "p4": _p4, "p5": _p5, "p6": _p6, "p7": _p7, "p8": _p8, "p9": _p9, "p10": _p10, "p11": _p11, "p12": _p12}
