"""The card of a run: what was trained on what, how it went and what it gave, to read."""

import tomli_w

from zf_keras import pictures
from zf_keras.files import whole_file, write_whole
from zoo.comparison import history
from zoo.runs import CARD, CURVES


def write_card(run):
    """Writes `curves.png` and `card.md` from the files of a run.

    Returns:
        The card's path.
    """
    rows = run.rows()
    if rows:
        _draw_curves(run, rows)
    head = [f"# {run.recipe.values.get('title', run.name)}", "", f"{summary(run)}.", ""]
    curves = [f"![ELBO and terms over the epochs]({CURVES})", ""] if rows else []
    text = [*head, *results_lines(run), *training_lines(run), *curves, *recipe_lines(run)]
    write_whole(run.path(CARD), "\n".join(text) + "\n")
    return run.path(CARD)


def summary(run):
    """Recipe, day, machine and versions of a run."""
    environment = run.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    machine = f"{environment['cpu_cores']} CPU cores, devices {', '.join(environment['devices'])}, {versions}"
    return f"Recipe `{run.name}`, {environment['date']}, {machine}"


def results_lines(run):
    """What was measured, beside the published number."""
    results, published = run.results(), run.recipe.values.get("published")
    if not results:
        return
    of_all = results.get("of_sequences", results["sequences"])
    scored = f"{results['sequences']:,}" + (f" of {of_all:,}" if of_all != results["sequences"] else "")
    counts = f"{scored} {results['split']} sequences ({results['frames']:,} predicted frames)"
    yield f"## Results on {counts}"
    yield ""
    units = list(next(iter(results["bounds"].values())))
    yield f"| bound | {' | '.join(units)} |"
    yield f"|---|{'---|' * len(units)}"
    for bound, measured in results["bounds"].items():
        yield f"| {bound} | {' | '.join(f'{measured[unit]:.4f}' for unit in units)} |"
        errors = results["standard_errors"].get(bound, {})
        if any(errors.values()):
            cells = ("" if errors.get(unit) is None else f"{errors[unit]:.3g}" for unit in units)
            yield f"| its standard error | {' | '.join(cells)} |"
    if published:
        numbers = (f"{published['value']:g}" if unit == published["metric"] else "" for unit in units)
        yield f"| published ({published['bound']}) | {' | '.join(numbers)} |"
    yield ""
    yield f"Standard errors are over sequences. {results['parameters']:,} parameters. "
    if results["statistics"]:
        mean, std = results["statistics"]["mean"], results["statistics"]["std"]
        yield f"Frames were standardised by the training part: mean {mean:.6g}, standard deviation {std:.6g}."
    if published:
        yield f"The published number: {published['source']}."
    if run.small:
        yield "This is the recipe's small form: its numbers are not to be compared with the published one."
    yield ""


def training_lines(run):
    rows = run.rows()
    if rows:
        best = _best_epoch(run, rows)
        yield "## Training"
        yield ""
        yield f"{len(rows)} epochs; the best validation ELBO, {rows[best - 1]['val_elbo']:.4f}, after epoch {best}."
        yield ""


def recipe_lines(run):
    yield "## Recipe"
    yield ""
    yield "```toml"
    yield tomli_w.dumps(run.recipe.values).strip()
    yield "```"


def _best_epoch(run, rows):
    """Number, from 1, of the epoch of the model that was measured, or of the best row."""
    results = run.results()
    return results["epoch"] if results else 1 + max(range(len(rows)), key=lambda i: rows[i]["val_elbo"])


def _draw_curves(run, rows):
    terms = [name for name in rows[0] if f"val_{name}" in rows[0] and name not in ("loss", "elbo", "kl_weight")]
    titles = {name: name for name in ("elbo", *terms)}
    figure = pictures.curves({run.name: history(rows)}, titles, kept={run.name: _best_epoch(run, rows)})
    with whole_file(run.path(CURVES)) as partial:
        figure.savefig(partial, dpi=100, format="png")
