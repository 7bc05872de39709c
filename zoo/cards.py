"""The card of a run: what was trained on what, how it went and what it gave, to read."""

import tomli_w

from zf_keras import pictures
from zf_keras.files import whole_file, write_whole
from zoo.comparison import history
from zoo.runs import CARD, CURVES
from zoo.tables import rows, scored


def write_card(run):
    """Writes `curves.png` and `card.md` from the files of a run.

    Returns:
        The card's path.
    """
    epochs = run.rows()
    if epochs:
        _draw_curves(run, epochs)
    head = [f"# {run.recipe.values.get('title', run.name)}", "", f"{summary(run)}.", ""]
    curves = [f"![ELBO and terms over the epochs]({CURVES})", ""] if epochs else []
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
    yield f"## Results on {scored(results)}"
    yield ""
    head, *lines = rows(run, results)
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---|' * (len(head) - 1)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
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
    epochs = run.rows()
    if epochs:
        best = _best_epoch(run, epochs)
        yield "## Training"
        yield ""
        yield f"{len(epochs)} epochs; the best validation ELBO, {epochs[best - 1]['val_elbo']:.4f}, after epoch {best}."
        yield ""


def recipe_lines(run):
    yield "## Recipe"
    yield ""
    yield "```toml"
    yield tomli_w.dumps(run.recipe.values).strip()
    yield "```"


def _best_epoch(run, epochs):
    """Number, from 1, of the epoch of the model that was measured, or of the best row."""
    results = run.results()
    return results["epoch"] if results else 1 + max(range(len(epochs)), key=lambda i: epochs[i]["val_elbo"])


def _draw_curves(run, epochs):
    terms = [name for name in epochs[0] if f"val_{name}" in epochs[0] and name not in ("loss", "elbo", "kl_weight")]
    titles = {name: name for name in ("elbo", *terms)}
    figure = pictures.curves({run.name: history(epochs)}, titles, kept={run.name: _best_epoch(run, epochs)})
    with whole_file(run.path(CURVES)) as partial:
        figure.savefig(partial, dpi=100, format="png")
