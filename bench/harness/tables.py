"""Results as Markdown."""

from .plan import FLOOR_MAY_MOVE, cpu_per_delivery
from .targets import row

RED = "🔴"
LATENCIES = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max"))


def machine(results):
    about = results.machine
    rows = [("processor", f"{about['cpu']}, {about['cores']} cores for the benchmark"),
            ("memory", f"{about['memory_gib']} GiB"),
            ("system", f"{about['system']}, {about['kernel']}, g++ {about['compiler']}"),
            ("date, commit", f"{about['date']}, `{about['commit']}`"),
            *((results.title(name), version) for name, version in about["versions"].items())]
    return table(("", ""), rows)


def summary(workloads, results):
    rows = []
    for workload in workloads:
        about = row(workload.name, results)
        rows.append((workload.name.upper(), f"{workload.title}: {about.target}", show(about.figure, about.unit, about.scale),
                     "<br>".join(f"{results.title(name)}: {show_median(figure, about.scale)}" for name, figure in about.beside),
                     verdict(workload, about, results)))
    return table(("", "target", "Herald: median (range)", "beside it", "met"), rows)


def verdict(workload, about, results):
    lines = [f"{RED} {text}" for text in troubles(workload.name, results)]
    if not results.runs(workload.name):
        return "<br>".join(lines + ["not measured"])
    measured = [check for check in about.checks if check.value is not None]
    for check in measured:
        sign = "≥" if check.at_least else "≤"
        lines.append(f"{'met' if check.met else '**not met**'}: {number(check.value)} {check.what} ({sign} {number(check.limit)})")
    lines += [f"not measured: {check.what}" for check in about.checks if check.value is None]
    return "<br>".join(lines)


def troubles(name, results):
    """Why the figures of a workload cannot be trusted, if they cannot."""
    kept = results.get(name)
    if not kept:
        return []
    found = []
    if kept["floor_moved"] > FLOOR_MAY_MOVE:
        found.append(f"**refused**: the floor moved by {kept['floor_moved']:.2f} × between rounds")
    for entrant, outcome in kept["entrants"].items():
        if "failed" in outcome:
            found.append(f"{results.title(entrant)} failed: {cell(outcome['failed'])}")
        if errors := results.errors(name, entrant):
            found.append(f"{results.title(entrant)}: {len(errors)} {'error' if len(errors) == 1 else 'errors'}: {cell(errors[0])}")
    return found


def detail(workload, results):
    """The table of a workload's own section: what each entrant came to."""
    kept = results.get(workload.name)
    if not kept:
        return "Not measured."
    about = row(workload.name, results)
    rows = []
    for name, outcome in kept["entrants"].items():
        figure = results.figure(workload.name, workload.figure, name)
        if figure is None:
            why = outcome.get("not_measured") or outcome.get("failed") or "no figure"
            rows.append((results.title(name), f"not measured: {cell(why)}", "", ""))
            continue
        ratio = results.ratio(workload.name, workload.figure, "herald", name) if name != "herald" else None
        rows.append((results.title(name), show(figure, about.unit, about.scale), number(ratio) if ratio else "",
                     str(len(outcome["runs"]))))
    head = ("", "median (range)", "× Herald", "turns")
    parts = [table(head, rows)] if workload.name != "p10" else []
    if any(results.series(workload.name, name) for name in kept["entrants"]):
        parts.append(_series(workload.name, results))
    latencies = [(results.title(name) + remark, latency) for name in kept["entrants"]
                 for field, remark in (("latency_us", ""), ("latency_all_read_us", ", all read"))
                 if (latency := _latencies(workload.name, name, field, results))]
    if latencies:
        parts.append(table(("latency, ms", *(title for _, title in LATENCIES)), [(title, *latency) for title, latency in latencies]))
    parts.append(f"Measured {kept['date']} at `{kept['commit']}`."
                 + (f" The floor moved by {kept['floor_moved']:.2f} ×." if workload.floor else "")
                 + _stolen(workload.name, kept["entrants"], results))
    return "\n\n".join(parts)


def _stolen(workload, entrants, results):
    figures = [figure for name in entrants if (figure := results.figure(workload, "stolen_ms_per_second", name))]
    if not figures:
        return ""
    low, high = min(figure.low for figure in figures), max(figure.high for figure in figures)
    return f" The hypervisor took {number(low)} to {number(high)} ms of each second meanwhile, of all cores together."


def _series(workload, results):
    names = [name for name in results.entrants(workload) if results.series(workload, name)]
    columns = {name: results.series(workload, name) for name in names}
    sessions = sorted({at for column in columns.values() for at in column})
    return table(("sessions", *(f"{results.title(name)}, µs" for name in names)),
                 [(f"{at:,}", *(show(columns[name].get(at), "") for name in names)) for at in sessions])


def _latencies(workload, entrant, field, results):
    figures = [results.figure(workload, f"{field}.{percentile}", entrant) for percentile, _ in LATENCIES]
    return [show_median(figure, 0.001) for figure in figures] if any(figures) else []


def generator(results):
    """What the load generator took for itself: where it is near a whole core, it is what was measured."""
    figure = results.figure("p1", "generator_cpu_us_per_delivery")
    cost = results.figure("p1", cpu_per_delivery)
    return f"{show(figure, 'µs')} a delivery, where Herald needs {show(cost, 'µs')}" if figure and cost else "not measured"


def unicast_load(results):
    """How full P4's core is: near the whole of it, latency is the queue."""
    figure = results.figure("p4", "server_cpu_us_per_delivery")
    rate = results.figure("p4", "messages_per_second")
    if not figure or not rate:
        return "not measured"
    return f"{show(figure, 'µs')} a delivery, which is {figure.median * rate.median / 1e4:.0f} % of its core"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(each) + " |" for each in rows])


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def show(figure, unit, scale=1.0):
    if figure is None:
        return "not measured"
    text = number(figure.median * scale)
    unit = f" {unit}" if unit else ""
    if figure.low == figure.high:
        return text + unit
    return f"{text}{unit} ({number(figure.low * scale)}–{number(figure.high * scale)})"


def show_median(figure, scale=1.0):
    return "" if figure is None else number(figure.median * scale)


def number(value):
    """Three digits that count, thousands set apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
