"""Runs the plan: rounds in which the entrants take turns, so that what the machine does meanwhile hits all of them alike."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

from .plan import FLOOR_MAY_MOVE

UNKNOWN, NOT_INSTALLED = 64, 77  # exit codes of herald-bench
STOP_SECONDS = 15


class Runner:
    """`outcomes` of `run`, one an entrant: {"runs": [what herald-bench wrote, …]}, and "not_measured" or "failed" with a reason."""

    def __init__(self, binary, directory, arguments, rounds, out=sys.stderr):
        self._binary, self._directory, self._arguments, self._rounds, self._out = binary, directory, arguments, rounds, out
        self._seconds = {}  # (workload, entrant) → of its last run
        self._directory.mkdir(parents=True, exist_ok=True)

    def run(self, workload, later):
        """(outcomes, how far the floor moved); `later`: workloads to come, for the estimate."""
        outcomes = self._run_rounds(workload, later)
        moved = floor_moved(workload, outcomes)
        if moved > FLOOR_MAY_MOVE:
            self._say(f"{workload.name}: the floor moved by {moved:.2f} ×; once more")
            again = self._run_rounds(workload, later)
            moved_again = floor_moved(workload, again)
            if moved_again < moved:
                outcomes, moved = again, moved_again
        return outcomes, moved

    def _run_rounds(self, workload, later):
        outcomes = {entrant.name: {"runs": []} for entrant in workload.entrants}
        turns = self._turns(workload)
        for number in range(1, turns + 1):
            # Each begins in its turn, and every other turn goes back: none always has the same before it.
            first = (number - 1) // 2 % len(workload.entrants)
            order = (workload.entrants[first:] + workload.entrants[:first])[::1 if number % 2 else -1]
            for position, entrant in enumerate(order):
                outcome = outcomes[entrant.name]
                if len(outcome["runs"]) < number - 1:
                    continue  # it has failed before
                left = sum(self._estimate(workload, other) for other in order[position:])
                left += (turns - number) * sum(self._estimate(workload, other) for other in order)
                left += sum(self._estimate(other, one) * self._turns(other) for other in later for one in other.entrants)
                self._say(f"{workload.name} {workload.title}, turn {number} of {turns}: {entrant.name}; about {duration(left)} left")
                self._run_once(workload, entrant, number, outcome)
        return outcomes

    def _turns(self, workload):
        return (workload.rounds or self._rounds) * workload.turns

    def _estimate(self, workload, entrant):
        return self._seconds.get((workload.name, entrant.name), workload.seconds)

    def _run_once(self, workload, entrant, number, outcome):
        name = f"{workload.name}-{re.sub('[^a-z0-9]+', '_', entrant.name)}-{number}"
        result, log = self._directory / f"{name}.json", self._directory / f"{name}.log"
        result.unlink(missing_ok=True)
        command = [self._binary, entrant.workload, f"--server={entrant.server}", f"--json={result}", *entrant.flags, *self._arguments]
        started = time.monotonic()
        with open(log, "w") as stderr:
            code = call(command, stderr, workload.limit)
        self._seconds[workload.name, entrant.name] = time.monotonic() - started
        run = read_json(result)
        if run is not None:
            outcome["runs"].append(run)
            for error in run.get("errors", []):
                self._say(f"  error: {error}")
            return
        reason = last_line(log) or f"exit code {code}"
        if code is None:
            reason = f"not done after {workload.limit:.0f} s"
        if code in (UNKNOWN, NOT_INSTALLED) or (entrant.optional and not outcome["runs"]):
            outcome["not_measured"] = reason
            self._say(f"  not measured: {reason}")
        else:
            outcome["failed"] = reason
            self._say(f"  FAILED: {reason} (see {log})")

    def _say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._out, flush=True)


def floor_moved(workload, outcomes):
    """Its largest figure over its smallest, of a round each; 1 if there is nothing to compare."""
    figures = [workload.figure(run) for run in outcomes.get(workload.floor, {"runs": []})["runs"]]
    figures = [figure for figure in figures if figure]
    rounds = [statistics.median(figures[first:first + workload.turns]) for first in range(0, len(figures), workload.turns)]
    return max(rounds) / min(rounds) if rounds else 1.0


def call(command, stderr, limit):
    """Its exit code; None if it had to be ended. What it has started ends with it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # a group of its own
                process.wait()


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def last_line(path):
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].replace(f"{os.getcwd()}/", "")[:300] if lines else ""


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
