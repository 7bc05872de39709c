"""The arguments of `python -m zoo`: nothing is imported for them, so that `--help` is quick."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Trains the models of zf_keras on the data sets of their papers, or on your own files, by recipes.

  python -m zoo list                                    what there is
  python -m zoo train digits/z_forcing --small          a first run, on bundled data
  python -m zoo train timit/z_forcing --source /corpora/TIMIT
  python -m zoo evaluate runs/timit/z_forcing
  python -m zoo generate runs/timit/z_forcing
  python -m zoo forecast runs/series/z_forcing --source new.csv
  python -m zoo interpolate runs/timit/z_forcing
  python -m zoo compare runs/timit/z_forcing runs/timit/rnn
  python -m zoo report runs/timit/z_forcing runs/timit/rnn
  python -m zoo preset runs/timit/z_forcing my_preset   to load by from_preset
"""


def parser():
    top = argparse.ArgumentParser(
        prog="python -m zoo",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, help, description=None):
        formatter = argparse.RawDescriptionHelpFormatter
        described = description or help
        return commands.add_parser(
            name, help=help, description=described, formatter_class=formatter, allow_abbrev=False
        )

    def data_directory(sub):
        sub.add_argument(
            "--data-dir", type=Path, default=Path("data"), help="folder of all prepared data (default: data)"
        )

    def recipe_settings(sub):
        sub.add_argument("--small", action="store_true", help="the recipe's small form, for a laptop")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="another value for a key of the recipe, such as model.units=64, or none; may be given often",
        )

    def source(sub, required):
        sub.add_argument("--source", type=Path, required=required, help="folder (or archive) of the files as they come")
        sub.add_argument(
            "--on-error",
            choices=("stop", "skip"),
            default="stop",
            help="what a file that can't be read does: stop, or be named, counted and left out (default: stop)",
        )

    def devices(sub):
        sub.add_argument("--devices", type=int, default=1, help="how many train it, of each process (default: 1)")
        sub.add_argument("--processes", type=int, default=1, help="how many train it together (default: 1)")
        sub.add_argument("--process-id", type=int, help="which of several processes this is, from 0")
        sub.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is, and a port free there")

    def several_runs(sub):
        sub.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of runs, of one data set")

    sub = command("list", "lists the recipes and the data sets")
    sub.add_argument("pattern", nargs="?", default="", help="only recipes whose name holds this, such as timit")

    sub = command("show", "shows a recipe as resolved, or what a data set needs")
    sub.add_argument("name", metavar="NAME", help="a recipe, a TOML file, or a data set")
    recipe_settings(sub)

    sub = command(
        "prepare",
        "writes the files of a data set to shards, once",
        "Writes the files of a data set to memory-mapped shards. Interrupted at any moment, the same command goes on.",
    )
    sub.add_argument("name", metavar="NAME", help="a data set, or a recipe whose data settings are taken")
    source(sub, required=True)
    recipe_settings(sub)
    data_directory(sub)
    sub.add_argument("--directory", help="folder below the data folder (default: the recipe's, or the data set's name)")

    sub = command(
        "train",
        "trains a recipe in a folder of its own, evaluates it and writes its card",
        "Trains a recipe. The folder holds the resolved recipe, metrics.csv, TensorBoard events, the last and\n"
        "the best model, a log, and at the end a card. Stopped at any moment, `resume` goes on, and ends as if\n"
        "never stopped.",
    )
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a TOML file")
    recipe_settings(sub)
    source(sub, required=False)
    data_directory(sub)
    sub.add_argument("--run-dir", type=Path, help="folder of the run (default: runs/RECIPE)")
    devices(sub)

    sub = command("resume", "goes on with a run that was stopped")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    devices(sub)

    sub = command("evaluate", "measures the best model of a run and rewrites its card")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    sub.add_argument("--split", choices=("train", "valid", "test"), help="part of the data (default: the recipe's)")
    sub.add_argument("--num-samples", type=int, help="samples or particles of the bound (default: the recipe's)")
    sub.add_argument(
        "--bound",
        choices=("iwae", "fivo"),
        default="iwae",
        help="beside the ELBO: importance-weighted, or of a particle filter (default: iwae)",
    )
    sub.add_argument(
        "--sequences", type=int, help="score so many sequences, drawn at random, always the same (default: all)"
    )

    sub = command("generate", "draws from the best model of a run: WAV, MIDI, text or pictures")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    sub.add_argument("--count", type=int, default=16, help="how many (default: 16)")
    sub.add_argument(
        "--length", type=int, help="steps of each, with the prompt (default: the median of the training part)"
    )
    prompt = sub.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", help="what is continued: a text or a file of it, a recording, a MIDI file")
    prompt.add_argument(
        "--prompt-steps", type=int, help="first steps that are those of test sequences (default: 0, of music 1)"
    )
    sub.add_argument("--temperature", type=float, default=1.0, help="below 1 the likelier (default: 1.0)")
    sub.add_argument("--top-k", type=int, help="of text: draw from the so many likeliest tokens alone (default: all)")
    sub.add_argument(
        "--top-p",
        type=float,
        help="of text: draw from the likeliest tokens, of this probability together (default: all)",
    )
    sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same samples (default: 0)")

    def forecasts(sub):
        sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
        sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
        sub.add_argument("--horizon", type=int, help="steps that are forecast (default: those of the data)")
        sub.add_argument("--num-samples", type=int, default=200, help="paths that are drawn of each (default: 200)")
        sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same forecast (default: 0)")

    sub = command(
        "forecast",
        "writes what the best model of a run expects after the end of series",
        "Continues each series of a file from its end. The file is as that which the data was prepared from; with\n"
        "covariates, its rows after the last value say what is known of the future.",
    )
    forecasts(sub)
    sub.add_argument("--source", type=Path, required=True, help="a CSV or Parquet file of series, or a folder of them")
    sub.add_argument(
        "--quantiles",
        type=float,
        nargs="+",
        default=[0.1, 0.5, 0.9],
        metavar="Q",
        help="a column of the output each (default: 0.1 0.5 0.9)",
    )
    sub.add_argument(
        "--output", type=Path, default=Path("forecast.csv"), help="a .csv or .parquet file (default: forecast.csv)"
    )
    sub.add_argument("--figure", type=Path, help="a picture of the first eight series, a .png file (default: none)")

    sub = command(
        "backtest",
        "scores what the best model of a run would have forecast before the end of series",
        "Forecasts from origins that roll back from the end of each series, and scores them by what came, beside the\n"
        "seasonal naive forecast. RUN/backtest.csv has the scores of each series and origin.",
    )
    forecasts(sub)
    sub.add_argument("--source", type=Path, help="a CSV or Parquet file of series (default: the data of the run)")
    sub.add_argument("--windows", type=int, default=1, help="origins (default: 1, that of the test part)")
    sub.add_argument("--stride", type=int, help="steps from an origin to the one before (default: the horizon)")

    sub = command(
        "interpolate",
        "decodes latents between those of two test sequences",
        "Decodes latents between those of two test sequences, by mode and by sampling. Of text, prints a table.",
    )
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    for name in ("first", "second"):
        sub.add_argument(f"--{name}", type=int, help="index of a test sequence, from 0 (default: drawn at random)")
    sub.add_argument("--points", type=int, default=11, help="how many, with the two ends (default: 11)")
    sub.add_argument("--top-k", type=int, help="of text: draw from the so many likeliest tokens alone (default: 10)")
    sub.add_argument("--draws", type=int, help="the likeliest of so many is kept (default: 10 of text, else 1)")
    sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same result (default: 0)")

    sub = command(
        "compare",
        "sets runs side by side: a table, and their curves in a figure",
        "Prints what was measured of each run, and draws ELBO and KL over updates. Runs that differ by their seed\n"
        "alone are one line, and one curve with a band from the lowest to the highest.",
    )
    several_runs(sub)
    sub.add_argument("--output", type=Path, default=Path("comparison.png"), help="the figure (default: comparison.png)")

    sub = command(
        "report",
        "writes what runs learned as one page that opens offline",
        "Writes one HTML file of some runs of a data set: results beside the published ones, curves, samples to look\n"
        "at, to hear or to read, latents, calibration, recipes, and warnings. It needs no other file and no network.",
    )
    several_runs(sub)
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    sub.add_argument("--output", type=Path, default=Path("report.html"), help="the page (default: report.html)")
    sub.add_argument("--count", type=int, default=8, help="samples that are drawn of each run (default: 8)")
    sub.add_argument(
        "--sequences",
        type=int,
        default=256,
        help="test sequences for latents and calibration, drawn at random, always the same (default: 256)",
    )
    sub.add_argument("--seed", type=int, default=0, help="the same seed gives the same samples (default: 0)")

    def preset_settings(sub):
        sub.add_argument("directory", metavar="DIRECTORY", type=Path, help="folder of the preset")
        sub.add_argument("--licence", help="of the weights, such as Apache-2.0 (default: not stated)")
        sub.add_argument("--overwrite", action="store_true", help="replaces a preset that is there")

    sub = command("preset", "packs the best model of a run, evaluated, as a preset to load by from_preset")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    preset_settings(sub)
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")

    sub = command("convert", "makes a preset of a released Z-Forcing checkpoint, an .npz or .safetensors file")
    sub.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="the state_dict, saved without pickle")
    preset_settings(sub)
    sub.add_argument("--output", choices=("gaussian", "categorical"), required=True, help="as it was trained")
    sub.add_argument("--auxiliary", choices=("z", "zh"), default="z", help="what its auxiliary net saw (default: z)")
    for name in ("alpha", "beta"):
        sub.add_argument(f"--{name}", type=float, default=1.0, help="weight of the cost (default: 1.0)")
    return top
