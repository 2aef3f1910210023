"""What was measured, as kept in a JSON file: by workload, by entrant, run by run.

A workload that is run again replaces what was kept of it; the others stay, each with its date and commit.
"""

import json
import statistics
from collections import Counter
from dataclasses import dataclass

from .plan import field_of


@dataclass(frozen=True)
class Figure:
    """The median over the rounds, with the smallest and the largest."""

    median: float
    low: float
    high: float


class Results:
    def __init__(self, data=None):
        self._data = data or {"machine": {}, "titles": {}, "workloads": {}}

    @classmethod
    def load(cls, path):
        return cls(json.loads(path.read_text()) if path.exists() else None)

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(self._data))

    @property
    def machine(self):
        return self._data["machine"]

    def set_machine(self, machine, titles):
        """`titles`: entrant → how it is called in tables."""
        versions = self.machine.get("versions", {}) | machine["versions"]  # of those that are kept, too
        self._data["machine"] = machine | {"versions": versions}
        self._data["titles"].update(titles)

    def title(self, entrant):
        return self._data["titles"].get(entrant) or entrant[:1].upper() + entrant[1:]

    def put(self, workload, command, outcomes, moved):
        self._data["workloads"][workload] = {
            "date": self.machine["date"],
            "commit": self.machine["commit"],
            "command": command,
            "floor_moved": round(moved, 3),
            "entrants": outcomes,
        }

    def get(self, workload):
        """{"date", "commit", "command", "floor_moved", "entrants"}, or nothing."""
        return self._data["workloads"].get(workload)

    def commands(self):
        """All that together have measured what there is; first that which has measured most."""
        return [command for command, _ in Counter(kept["command"] for kept in self._data["workloads"].values()).most_common()]

    def entrants(self, workload):
        kept = self.get(workload)
        return list(kept["entrants"]) if kept else []

    def outcome(self, workload, entrant):
        return (self.get(workload) or {"entrants": {}})["entrants"].get(entrant, {"runs": []})

    def runs(self, workload, entrant="herald"):
        return self.outcome(workload, entrant)["runs"]

    def figure(self, workload, get, entrant="herald"):
        """A Figure, or nothing if no run has it. `get`: a function of a run, or the name of a field."""
        values = [value for value in self._values(workload, get, entrant) if value is not None]
        return Figure(statistics.median(values), min(values), max(values)) if values else None

    def ratio(self, workload, get, base, entrant="herald"):
        """The median of an entrant's figure over that of `base` in the same round; nothing if no round has both.

        Within a round they run one after the other: what changes from round to round meets both.
        """
        pairs = zip(self._values(workload, get, entrant), self._values(workload, get, base))
        ratios = [value / other for value, other in pairs if value is not None and other]
        return statistics.median(ratios) if ratios else None

    def _values(self, workload, get, entrant):
        get = field_of(get) if isinstance(get, str) else get
        return list(map(get, self.runs(workload, entrant)))

    def series(self, workload, entrant, field="server_cpu_us_per_delivery"):
        """sessions → Figure."""
        values = {}
        for run in self.runs(workload, entrant):
            for point in run.get("series", []):
                if point.get(field) is not None:
                    values.setdefault(point["sessions"], []).append(point[field])
        return {sessions: Figure(statistics.median(all_of), min(all_of), max(all_of)) for sessions, all_of in sorted(values.items())}

    def errors(self, workload, entrant=None):
        """What the load generator found wrong with what it received."""
        return [error for name in ([entrant] if entrant else self.entrants(workload))
                for run in self.runs(workload, name) for error in run.get("errors", [])]


def to_json(data):
    """Indented, but one line for each run: a change of one is a change of one line."""
    def encode(value, indent):
        if isinstance(value, dict) and value:
            inner = indent + " "
            rows = (f"{inner}{json.dumps(key)}: {encode(each, inner)}" for key, each in value.items())
            return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = indent + " "
            return "[\n" + ",\n".join(inner + json.dumps(each, ensure_ascii=False) for each in value) + f"\n{indent}]"
        return json.dumps(value, ensure_ascii=False)
    return encode(data, "") + "\n"
