"""docs/performance.md: bench/performance.md.in with its {{placeholders}} filled.

    {{commands}} {{machine}} {{table}} {{generator}}    what was run, on what; the table of targets; the load generator's own cost
    {{unicast_load}}                                     how full P4's core is
    {{p1}} … {{p12}}                                    tables of a workload, and its plot
"""

import os
import re

from . import plots, tables


def write(path, template, workloads, results):
    drawn = plots.draw(results, path.with_suffix(""))
    values = {
        "commands": "\n".join(results.commands()),
        "machine": tables.machine(results),
        "table": tables.summary(workloads, results),
        "generator": tables.generator(results),
        "unicast_load": tables.unicast_load(results),
    }
    for workload in workloads:
        text = tables.detail(workload, results)
        if workload.name in drawn:
            text = f"![{workload.title}]({os.path.relpath(drawn[workload.name], path.parent)})\n\n{text}"
        values[workload.name] = text
    path.write_text(re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template.read_text()))
