"""The plots of docs/performance.md, as SVG. Each function writes one file, or nothing where there is nothing to show."""

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

from .plan import FLOORS, cpu_per_delivery  # noqa: E402
from .tables import number  # noqa: E402

# Okabe and Ito's colours, which do not depend on telling red from green.
HERALD, FLOOR, PEER, TARGET = "#0072B2", "#999999", "#E69F00", "#D55E00"
pyplot.rcParams.update({
    "font.family": "sans-serif", "font.size": 11, "svg.fonttype": "none", "svg.hashsalt": "herald",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 12, "axes.titlelocation": "left",
    "figure.facecolor": "white", "legend.frameon": False,
})


def draw(results, directory):
    """Returns workload → file for those that there are."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for workload, plot in (("p1", fan_out), ("p4", latency), ("p5", memory), ("p10", growth)):
        path = directory / f"{workload}.svg"
        figure = plot(results)
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)
        path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
        drawn[workload] = path
    return drawn


def fan_out(results):
    return _bars(results, "p1", cpu_per_delivery, 1, 0.20, "Burst fan-out: server CPU a delivery, µs (log scale)", log=True)


def memory(results):
    return _bars(results, "p5", "bytes_per_session.user", 1 / 1024, 4, "Idle session: user-space memory, KiB")


def _bars(results, workload, get, scale, target, title, log=False):
    rows = [(name, figure) for name in results.entrants(workload) if (figure := results.figure(workload, get, name))]
    if not rows:
        return None
    rows.sort(key=lambda each: each[1].median, reverse=True)
    medians = [figure.median * scale for _, figure in rows]
    spread = [[(figure.median - figure.low) * scale for _, figure in rows], [(figure.high - figure.median) * scale for _, figure in rows]]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(rows) + 1))
    axes.barh([results.title(name) for name, _ in rows], medians, color=[_colour(name) for name, _ in rows], height=0.6)
    axes.errorbar(medians, range(len(rows)), xerr=spread, fmt="none", ecolor="#333333", elinewidth=1, capsize=3)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(medians) / 2, max(medians) * 2.5)
    else:
        axes.set_xlim(0, max(medians) * 1.15)
    for at, (median, above) in enumerate(zip(medians, spread[1])):
        axes.annotate(number(median), (median + above, at), xytext=(6, 0), textcoords="offset points", va="center",
                      bbox={"boxstyle": "square,pad=0.1", "color": "white"})
    axes.axvline(target, color=TARGET, linewidth=1, linestyle="--", zorder=0)
    axes.annotate("target", (target, 1), xycoords=("data", "axes fraction"), xytext=(3, 2), textcoords="offset points", color=TARGET,
                  fontsize=9)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_title(title, pad=16)
    axes.tick_params(axis="y", length=0)
    return figure


def latency(results):
    points = [(title, figure) for field, title in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max"))
              if (figure := results.figure("p4", f"latency_us.{field}"))]
    if not points:
        return None
    titles = [title for title, _ in points]
    medians = [figure.median / 1000 for _, figure in points]
    spread = [[(figure.median - figure.low) / 1000 for _, figure in points], [(figure.high - figure.median) / 1000 for _, figure in points]]
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    axes.errorbar(titles, medians, yerr=spread, color=HERALD, marker="o", capsize=3, linewidth=1.5)
    for at, median in enumerate(medians):
        axes.annotate(number(median), (at, median), xytext=(8, -4), textcoords="offset points")
    targets = [(titles.index(title), limit) for title, limit in (("p50", 0.5), ("p99", 3)) if title in titles]
    axes.scatter(*zip(*targets), color=TARGET, marker="_", s=400, linewidth=2)
    for at, limit in targets:
        axes.annotate("target", (at, limit), xytext=(0, 4), textcoords="offset points", color=TARGET, fontsize=9, ha="center")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)
    axes.set_title("Unicast, 20,000 messages a second: latency, ms (log scale)", pad=12)
    return figure


def growth(results):
    lines = [(name, points) for name in results.entrants("p10") if (points := results.series("p10", name))]
    if not lines:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    for name, points in lines:
        medians = [point.median for point in points.values()]
        axes.plot(list(points), medians, color=_colour(name), marker="o", linewidth=1.5)
        axes.fill_between(list(points), [point.low for point in points.values()], [point.high for point in points.values()],
                          color=_colour(name), alpha=0.2, linewidth=0)
        axes.annotate(results.title(name), (list(points)[-1], medians[-1]), xytext=(8, -4), textcoords="offset points", color=_colour(name))
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xticks(sorted({sessions for _, points in lines for sessions in points}))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)
    axes.set_xlabel("sessions (log scale)")
    axes.set_title("Burst fan-out: server CPU a delivery, µs", pad=12)
    return figure


def _colour(entrant):
    if entrant in FLOORS:
        return FLOOR
    return HERALD if entrant.startswith("herald") else PEER
