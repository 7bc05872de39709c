"""`python -m zoo`: data sets prepared, models trained by recipes, measured, and drawn from."""

import contextlib
import inspect
import os
import sys
from pathlib import Path

from zoo.arguments import parser


@contextlib.contextmanager
def without_log_lines():
    """TensorFlow's libraries log to the descriptor of stderr while they are imported, and no setting silences them."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def list_recipes(args):
    with without_log_lines():
        from zf_keras import datasets
        from zoo import recipes

        found = {name: recipes.load(name).values for name in recipes.names() if args.pattern in name}
    width = max(map(len, found), default=0)
    for name, values in found.items():
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
    from zoo.runs import RunError

    for name, parameter in inspect.signature(dataset.prepare).parameters.items():
        if parameter.default is parameter.empty and name not in ("source", "directory", *options):
            raise RunError(f"Say by --set data.{name}=... or in the recipe what {name} the data is prepared with.")
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

    with started(args) as devices:
        recipe = recipes.load(args.recipe, args.small, args.set)
        devices.agree(recipes.fixed_settings(recipe.values))
        directory = args.run_dir or Path("runs") / (recipe.name + ("-small" if args.small else ""))
        if devices.first:
            runs.check_new(directory)
            data_directory = prepared(recipe, args)
            runs.check_data(recipe, runs.load_data(recipe, data_directory))
            runs.Run.begin(directory, recipe, args.small, data_directory, args.devices, args.processes)
        devices.agree()
        finish(runs.Run(directory), devices)


def run_resume(args):
    from zoo.runs import Run

    with started(args) as devices:
        finish(Run(args.run, args.data), devices)


def started(args):
    from zoo import devices

    return devices.started(args.devices, args.processes, args.process_id, args.coordinator)


def finish(run, devices):
    """Trains to the end, evaluates, writes the card."""
    from zoo import training
    from zoo.evaluation import evaluate

    training.train(run, devices=devices)
    if devices.first:
        print(f"\nMeasuring the best model on the {run.evaluation['split']} part")
        evaluate(run)
        report(run)


def report(run):
    from zoo.cards import write_card
    from zoo.tables import table

    print("", *table(run, run.results()), f"  {write_card(run)}", sep="\n")


def run_evaluate(args):
    from zoo.evaluation import evaluate
    from zoo.runs import Run

    run = Run(args.run, args.data)
    evaluate(run, args.split, args.num_samples, bound=args.bound, count=args.sequences)
    report(run)


def run_generate(args):
    from zoo.generation import generate
    from zoo.runs import Run

    run = Run(args.run, args.data)
    options = {"top_k": args.top_k, "top_p": args.top_p, "given": args.prompt}
    print(*generate(run, args.count, args.length, args.temperature, args.seed, args.prompt_steps, **options), sep="\n")


def run_forecast(args):
    from zoo.forecasting import forecast
    from zoo.runs import Run

    options = {"horizon": args.horizon, "quantiles": args.quantiles, "num_samples": args.num_samples}
    forecast(Run(args.run, args.data), args.source, args.output, seed=args.seed, figure=args.figure, **options)
    print(*filter(None, (args.output, args.figure)), sep="\n")


def run_backtest(args):
    from zoo.backtesting import BACKTEST, backtest
    from zoo.runs import Run

    run = Run(args.run, args.data)
    options = {"stride": args.stride, "horizon": args.horizon, "num_samples": args.num_samples, "seed": args.seed}
    scores, frame = backtest(run, args.source, args.windows, **options)
    print(f"{run.name}: {len(frame)} forecasts\n")
    print(f"{'':16}{''.join(f'{title:>16}' for title in scores)}")
    for name in scores["model"]:
        print(f"{name:16}{''.join(f'{found[name]:>16.4g}' for found in scores.values() if name in found)}")
    if frame["seen"].any():
        print(f"\n{int(frame['seen'].sum())} of these are of steps that the run was trained or chosen by.")
    print(f"\n{run.path(BACKTEST)}")


def run_interpolate(args):
    from zoo.interpolation import interpolate
    from zoo.runs import Run

    run = Run(args.run, args.data)
    paths = interpolate(run, args.first, args.second, args.points, args.seed, args.top_k, args.draws)
    for path in paths:
        if path.suffix == ".txt":
            print(path.read_text(encoding="utf-8"))
    print(*paths, sep="\n")


def run_compare(args):
    from zoo.comparison import compare
    from zoo.runs import Run

    compare([Run(run) for run in args.runs], args.output)


def run_report(args):
    from zoo.report import write_report
    from zoo.runs import Run

    runs = [Run(run, args.data) for run in args.runs]
    write_report(runs, args.output, args.count, args.sequences, args.seed)
    print(args.output)


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
    "forecast": run_forecast,
    "backtest": run_backtest,
    "interpolate": run_interpolate,
    "compare": run_compare,
    "report": run_report,
    "preset": run_preset,
    "convert": run_convert,
}


def main(argv=None):
    """The command line; returns the exit status."""
    args = parser().parse_args(argv)
    with without_log_lines() if args.command == "list" else contextlib.nullcontext():
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
