"""The page of some runs."""

import datetime
from pathlib import Path

import tomli_w
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from zf_keras.arguments import check_positive_int, check_seed
from zf_keras.files import write_whole
from zoo.cards import summary
from zoo.comparison import grouped
from zoo.pages import render
from zoo.report import figures
from zoo.report.contents import contents


def write_report(runs, output, count=8, sequences=256, seed=0, verbose="auto"):
    """Writes one HTML file of some runs, which opens offline.

    Args:
        runs: list of `Run`, of one data set.
        output: path. Of the page.
        count: int. Samples that are drawn of each run. Defaults to `8`.
        sequences: int. Test sequences from which latents and calibration are inferred, drawn at random, always the
            same. Defaults to `256`.
        seed: int. Of the samples. Defaults to `0`.
        verbose: `"auto"`, 0 or 1. Whether to show progress bars. Defaults to `"auto"`.

    Raises:
        RunError: a run has not been trained, is given twice, or they are of several data sets.
        ValueError: names what is wrong with an argument.
    """
    check_positive_int("count", count)
    check_positive_int("sequences", sequences)
    check_seed("seed", seed)
    output = Path(output)
    if not output.parent.is_dir():
        raise ValueError(f"`output` must be in a folder that is there. Received: {output}.")
    groups = grouped(runs)
    found = []
    for run in runs:
        if verbose:
            print(f"{run.directory}: samples, latents and calibration")
        found.append(contents(run, count, sequences, seed, verbose))
    sections = [_section(number, each) for number, each in enumerate(found, start=1)]
    page = render(
        Path(__file__).with_name("page.html"),
        title=_title(runs),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        plotly=Markup(get_plotlyjs()),
        curves=[Markup(figures.html(*curve)) for curve in figures.curves(groups)],
        results=list(_results(groups)),
        sections=sections,
        settings={"count": count, "sequences": sequences, "seed": seed},
    )
    write_whole(output, page)


def _title(runs):
    names = list(dict.fromkeys(run.name for run in runs))
    return names[0] if len(names) == 1 else f"{len(names)} models on {runs[0].recipe.values['data']['dataset']}"


def _results(groups):
    """Rows of text, the first of them the head: a row a bound, a column a unit."""
    bounds = [group.bounds() for group in groups]
    units = list(dict.fromkeys(unit for each in bounds for _, unit in each))
    any_published = any(not g.runs[0].small and "published" in g.runs[0].recipe.values for g in groups)
    yield ["run", "seeds", "bound", *units, *["published"] * any_published]
    for group, found in zip(groups, bounds, strict=True):
        run = group.runs[0]
        published = run.recipe.values.get("published")
        beside = ""
        if published and not run.small:
            beside = f"{published['value']:g} {published['metric']} ({published['bound']})"
        start = [group.label, str(len(group.runs))]
        for bound in dict.fromkeys(bound for bound, _ in found) or ["not measured yet"]:
            yield [
                *start,
                bound,
                *(_value(*found.get((bound, unit), (None, None))) for unit in units),
                *[beside] * any_published,
            ]
            start, beside = ["", ""], ""


def _value(mean, error):
    if mean is None:
        return ""
    return f"{mean:.4f}" + (f" ± {error:.2g}" if error is not None else "")


def _section(number, found):
    """What the template shows of a run."""
    name = f"run-{number}"
    drawn = {}
    if found.latents:
        drawn["latents"] = figures.paths(*found.latents)
        divergence = found.summary["kl"]
        drawn["kl-dimension"] = figures.kl_by_dimension(
            divergence["by_dimension"], found.summary["active_units"]["variance"]
        )
        drawn["kl-step"] = figures.kl_by_step(divergence["by_step"])
    if found.calibration:
        drawn["calibration"] = figures.calibration(found.calibration)
    return {
        "name": name,
        "found": found,
        "run": found.run,
        "title": found.run.recipe.values.get("title", found.run.name),
        "about": summary(found.run),
        "figures": [Markup(figures.html(f"{name}-{key}", figure)) for key, figure in drawn.items()],
        "recipe": tomli_w.dumps(found.run.recipe.values).strip(),
    }
