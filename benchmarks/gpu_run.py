"""Runs a plan: each part in a process of its own, within a time; whatever it has measured by then is kept."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_plan import limit

ROOT = Path(__file__).parents[1]
DONE, FAILED, LATE, SKIPPED = "done", "failed", "out of time", "skipped"
#: What is told of an error.
LINES = 15


def run_plan(plan, seconds, environment, options, write):
    """Runs the parts in order: a list of their results, each handed to `write` with those before it.

    Args:
        plan: list of `Part`.
        seconds: for all of them.
        environment: dict. Of every process, beside this one's.
        options: dict. Arguments of every part's function.
        write: function of the list of results so far.

    Returns:
        Dicts of "part", "status", "seconds", "limit_seconds", "rows" and, where it failed, "error".
    """
    end, results = time.monotonic() + seconds, []
    for i, part in enumerate(plan):
        allowed = limit(part, max(0.0, end - time.monotonic()), plan[i + 1 :])
        say(f"{part.name}, at most {allowed:.0f} s")
        results.append(run_part(part, allowed, environment, options))
        say(f"  {results[-1]['status']} after {results[-1]['seconds']:.0f} s")
        write(results)
        if part.function == "machine" and results[-1]["status"] == FAILED:
            break  # nothing else can run
    return results


def run_part(part, allowed, environment, options):
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows, log = Path(folder) / "rows", Path(folder) / "log"
        rows.touch()
        arguments = json.dumps({**part.arguments, **options})
        command = [sys.executable, "-m", "benchmarks.gpu_parts", part.function, arguments, str(rows)]
        status = finish(command, allowed, merged(environment, part.environment), log)
        # The last line of a process that was killed may be cut.
        whole = rows.read_text().rpartition("\n")[0].splitlines()
        found = {"part": part.name, "rows": [json.loads(line) for line in whole]}
        if status == FAILED:
            found["error"] = "\n".join(log.read_text(errors="replace").splitlines()[-LINES:])
    if status == DONE and any("skipped" in row for row in found["rows"]):
        status = SKIPPED
    return {**found, "status": status, "seconds": time.monotonic() - start, "limit_seconds": allowed}


def merged(environment, of_part):
    """The environment of a part; flags of XLA's add up."""
    flags = (each.get("XLA_FLAGS") for each in (os.environ, environment, of_part))
    return {**environment, **of_part, "XLA_FLAGS": " ".join(filter(None, flags))}


def finish(command, allowed, environment, log):
    """Runs a command until it ends or its time is over, then with all that it started."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return FAILED if process.wait(allowed) else DONE
    except subprocess.TimeoutExpired:
        return LATE
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def say(text):
    print(text, file=sys.stderr, flush=True)
