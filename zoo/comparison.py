"""Runs side by side: a table of what was measured, and curves of their training, with a band over seeds."""

import numpy as np

from zf_keras import pictures
from zf_keras.files import whole_file
from zoo.runs import RunError


class Group:
    """Runs of one recipe that differ by their seed alone.

    Args:
        label: str. What it is called in the table and the figure.
        runs: list of `Run`.
    """

    def __init__(self, label, runs):
        self.label = label
        self.runs = runs
        self.rows = [run.rows() for run in runs]
        self.results = [results for run in runs if (results := run.results())]

    def histories(self):
        """The rows of each run as the functions of `zf_keras.pictures` take them."""
        return [history(rows) for rows in self.rows]

    def bounds(self):
        """(bound, unit) -> mean, and an error: over seeds where there are several, else over sequences, or `None`."""
        found = {}
        for bound, units in self.results[0]["bounds"].items() if self.results else ():
            for unit in units:
                values = np.array([results["bounds"].get(bound, {}).get(unit, np.nan) for results in self.results])
                error = None
                if len(values) > 1:
                    error = values.std(ddof=1) / len(values) ** 0.5
                else:
                    error = self.results[0]["standard_errors"].get(bound, {}).get(unit)
                found[bound, unit] = values.mean(), error
        return found


def grouped(runs):
    """`Group`s of runs, in their order.

    Raises:
        RunError: a run has not been trained, is given twice, or they are of several data sets.
    """
    datasets = {run.recipe.values["data"]["dataset"] for run in runs}
    if len(datasets) > 1:
        raise RunError(f"Runs of several data sets are not to be compared: {', '.join(sorted(datasets))}.")
    groups, seen = {}, set()
    for run in runs:
        if run.directory.resolve() in seen:
            raise RunError(f"{run.directory} is given twice.")
        seen.add(run.directory.resolve())
        if not run.rows():
            raise RunError(f"{run.directory} has no epoch yet: `resume` it until one is done.")
        groups.setdefault(_without_seed(run.recipe.values), []).append(run)
    names = [group[0].name for group in groups.values()]
    return [
        Group(group[0].name if names.count(group[0].name) == 1 else str(group[0].directory), group)
        for group in groups.values()
    ]


def _without_seed(values, path=()):
    """Nested settings as a tuple that can be compared, but for the training's seed and the title."""
    if isinstance(values, dict):
        kept = {key: value for key, value in values.items() if (*path, key) not in {("training", "seed"), ("title",)}}
        return tuple((key, _without_seed(value, (*path, key))) for key, value in sorted(kept.items()))
    return tuple(values) if isinstance(values, list) else values


def table(groups):
    """The results as lines of text."""
    width = max(len(group.label) for group in groups) + 2
    yield f"{'run':<{width}}{'seeds':>6}{'best val_elbo':>15}  measured"
    for group in groups:
        best = np.mean([max(row["val_elbo"] for row in rows) for rows in group.rows])
        start = f"{group.label:<{width}}{len(group.runs):>6}{best:>15.3f}  "
        lines = [
            f"{bound:<9}{mean:>12.4f} {unit}" + (f" +- {error:.2g}" if error is not None else "")
            for (bound, unit), (mean, error) in group.bounds().items()
        ]
        published = group.runs[0].recipe.values.get("published")
        if published and not group.runs[0].small:
            lines.append(f"published{published['value']:>12g} {published['metric']}, {published['bound']}")
        for line in lines or ["not yet: `evaluate` it"]:
            yield start + line
            start = " " * len(start)
    yield "After +-: the standard error over seeds, or over sequences where there is one seed."


def history(rows):
    """Rows of epochs as a dict from the name of a metric to its values."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def compare(runs, path=None):
    """Prints the table of some runs, and draws their curves where a path is given."""
    groups = grouped(runs)
    print(*table(groups), sep="\n")
    if path:
        figure = pictures.curves({group.label: group.histories() for group in groups})
        with whole_file(path) as partial:
            figure.savefig(partial, dpi=120, format="png")
        print(path)
