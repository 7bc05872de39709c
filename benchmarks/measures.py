"""Seconds and memory of functions, and tables of what was measured."""

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest import mock


class Timing(NamedTuple):
    seconds: float  # a call, the median
    compile_seconds: float  # what the first call took more


def seconds(function):
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(functions, repeats):
    """`Timing` of some functions by name, called in turn, so that a noisy machine slows all; the first two warm up."""
    first, _, *rounds = [{name: seconds(call) for name, call in functions.items()} for _ in range(repeats + 2)]
    medians = {name: statistics.median(times[name] for times in rounds) for name in functions}
    return {name: Timing(median, first[name] - median) for name, median in medians.items()}


def peak():
    """Most MiB that this process has held (Linux only)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def in_new_process(function, *args, backend=None, environment=None):
    """What a function of a module returns in a fresh process, on a backend of its own; by default on this one.

    `environment` is a dict of further variables of that process.

    Raises:
        concurrent.futures.process.BrokenProcessPool: the process was killed, such as for want of memory.
    """
    spawn = multiprocessing.get_context("spawn")
    environment = (environment or {}) | ({"KERAS_BACKEND": backend} if backend else {})
    with mock.patch.dict(os.environ, environment), ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(function, *args).result()


def table(rows, columns):
    """Lines of a table: `columns` are names, the rows dicts of text and numbers; what a row lacks is a dash."""
    lines = [list(columns), *([shown(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def shown(value):
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "-" if value is None else str(value)
