"""`python -m zoo`: data sets prepared, models trained by recipes, measured, and drawn from."""

import argparse
import inspect
import sys
from pathlib import Path

DESCRIPTION = """\
Trains the models of zf_keras on the data sets of their papers, or on your own files, by recipes.

  python -m zoo list                                    what there is
  python -m zoo train digits/z_forcing --small          a first run, on bundled data
  python -m zoo train timit/z_forcing --source /corpora/TIMIT
  python -m zoo evaluate runs/timit/z_forcing
  python -m zoo generate runs/timit/z_forcing
  python -m zoo preset runs/timit/z_forcing my_preset   to load by from_preset
"""


def parser():
    top = argparse.ArgumentParser(
        prog="python -m zoo", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, help, description=None):
        formatter = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=help, description=description or help, formatter_class=formatter)

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

    sub = command("resume", "goes on with a run that was stopped")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")

    sub = command("evaluate", "measures the best model of a run and rewrites its card")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    sub.add_argument("--split", choices=("train", "valid", "test"), help="part of the data (default: the recipe's)")
    sub.add_argument("--num-samples", type=int, help="samples of the importance-weighted bound (default: the recipe's)")

    sub = command("generate", "draws from the best model of a run: WAV, MIDI, text or pictures")
    sub.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    sub.add_argument("--data", type=Path, help="folder of the prepared data (default: where it was)")
    sub.add_argument("--count", type=int, default=16, help="how many (default: 16)")
    sub.add_argument("--length", type=int, help="steps of each (default: the median of the training part)")
    sub.add_argument(
        "--prompt-steps", type=int, help="first steps that are those of test sequences (default: 0, of music 1)"
    )
    sub.add_argument("--temperature", type=float, default=1.0, help="below 1 the likelier (default: 1.0)")
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


def list_recipes(args):
    from zf_keras import datasets
    from zoo import recipes

    names = [name for name in recipes.names() if args.pattern in name]
    width = max(map(len, names), default=0)
    for name in names:
        values = recipes.load(name).values
        published = values.get("published")
        number = f"  [{published['value']:g} {published['metric']}]" if published else ""
        print(f"{name:<{width}}  {values['title']}{number}")
    print("\nIn brackets: published. `show NAME` shows a recipe or a data set; --small is a form for a laptop.")
    print(f"Data sets: {', '.join(datasets.NAMES)}.")


def show(args):
    import tomli_w

    from zf_keras import datasets
    from zoo import components, recipes

    if args.name in datasets.NAMES:
        print(inspect.getdoc(datasets.module(args.name)))
        dataset = datasets.get(args.name)
        for name, function in (("prepare", dataset.prepare), ("load_data", dataset.load_data)):
            if function:
                print(f"\n{name}{inspect.signature(function)}\n\n{inspect.getdoc(function)}")
        return
    recipe = recipes.load(args.name, args.small, args.set)
    print(tomli_w.dumps(recipe.values).strip())
    for name in ("training", "evaluation"):
        defaults = components.table(recipe, name).items() - recipe.values.get(name, {}).items()
        print(f"# {name}, by default: {', '.join(f'{key} = {value}' for key, value in sorted(defaults))}")


def prepared(recipe, args):
    """The folder of a recipe's data, prepared where there is a source; `None` for bundled data."""
    from zf_keras import datasets
    from zoo import components
    from zoo.runs import RunError

    data = recipe.values["data"]
    dataset = datasets.get(data["dataset"])
    if not dataset.prepare:
        if args.source:
            raise RunError(f"{data['dataset']} is bundled: it takes no --source.")
        return None
    directory = args.data_dir / data.get("directory", data["dataset"])
    if args.source:
        options = {key: data[key] for key in components.data_arguments(data["dataset"], "prepare") if key in data}
        prepare(dataset, args, directory, options)
    return directory


def prepare(dataset, args, directory, options):
    manifest = dataset.prepare(args.source, directory, on_error=args.on_error, **options)
    print(f"\n{directory}:")
    for split, parts in manifest["splits"].items():
        counts = [sum(shard[name] for shard in parts["shards"]) for name in ("sequences", "frames")]
        empty = f", {parts['empty']:,} sources too short for one" if parts["empty"] else ""
        print(f"  {split}: {counts[0]:,} sequences, {counts[1]:,} frames, {len(parts['shards'])} shards{empty}")
    if manifest["statistics"]:
        print(f"  mean {manifest['statistics']['mean']:.6g}, standard deviation {manifest['statistics']['std']:.6g}")
    for skipped in manifest["skipped"]:
        print(f"  skipped {skipped['source']}: {skipped['error']}")
    if manifest["skipped"]:
        print(f"  skipped {len(manifest['skipped'])} in all")


def run_prepare(args):
    from zf_keras import datasets
    from zoo import recipes
    from zoo.runs import RunError

    if args.name not in datasets.NAMES:
        recipe = recipes.load(args.name, args.small, args.set)
        if args.directory:
            recipe.values["data"]["directory"] = args.directory
        prepared(recipe, args)
        return
    dataset = datasets.get(args.name)
    if not dataset.prepare:
        raise RunError(f"{args.name} is bundled: there is nothing to prepare.")
    options = recipes.settings_for(args.name, args.set)
    prepare(dataset, args, args.data_dir / (args.directory or args.name), options)


def run_train(args):
    from zoo import recipes, runs

    recipe = recipes.load(args.recipe, args.small, args.set)
    directory = args.run_dir or Path("runs") / (recipe.name + ("-small" if args.small else ""))
    runs.check_new(directory)
    data_directory = prepared(recipe, args)
    runs.check_data(recipe, runs.load_data(recipe, data_directory))
    finish(runs.Run.begin(directory, recipe, args.small, data_directory))


def run_resume(args):
    from zoo.runs import Run

    finish(Run(args.run, args.data))


def finish(run):
    """Trains to the end, evaluates, writes the card."""
    from zoo import training
    from zoo.evaluation import evaluate

    training.train(run)
    print(f"\nMeasuring the best model on the {run.evaluation['split']} part")
    evaluate(run)
    report(run)


def report(run):
    from zoo.cards import write_card
    from zoo.evaluation import table

    print("", *table(run, run.results()), f"  {write_card(run)}", sep="\n")


def run_evaluate(args):
    from zoo.evaluation import evaluate
    from zoo.runs import Run

    run = Run(args.run, args.data)
    evaluate(run, args.split, args.num_samples)
    report(run)


def run_generate(args):
    from zoo.evaluation import generate
    from zoo.runs import Run

    run = Run(args.run, args.data)
    print(*generate(run, args.count, args.length, args.temperature, args.seed, args.prompt_steps), sep="\n")


def run_preset(args):
    from zoo.presets import pack
    from zoo.runs import Run

    pack(Run(args.run, args.data), args.directory, args.licence, args.overwrite)
    print(args.directory)


def run_convert(args):
    from zoo.presets import convert

    weights = {"alpha": args.alpha, "beta": args.beta}
    convert(args.checkpoint, args.directory, args.output, args.auxiliary, args.licence, args.overwrite, **weights)
    print(args.directory)


COMMANDS = {
    "list": list_recipes,
    "show": show,
    "prepare": run_prepare,
    "train": run_train,
    "resume": run_resume,
    "evaluate": run_evaluate,
    "generate": run_generate,
    "preset": run_preset,
    "convert": run_convert,
}


def main(argv=None):
    """The command line; returns the exit status."""
    args = parser().parse_args(argv)
    from zoo.recipes import RecipeError
    from zoo.runs import RunError

    try:
        COMMANDS[args.command](args)
    except (RecipeError, RunError, FileNotFoundError, ImportError, OSError, ValueError) as error:
        print(f"\npython -m zoo {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\npython -m zoo {args.command}: interrupted; the same command, or `resume`, goes on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
