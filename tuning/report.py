"""What a search found: its table, pictures, one HTML file, and the recipe of the best trial."""

import base64
import csv
import math
import shlex
from pathlib import Path

import tomli_w

from tuning import pictures
from tuning.metadata import OBJECTIVE, SearchError
from tuning.records import flat, ranked
from zf_keras.files import whole_file, write_whole
from zoo import recipes
from zoo.pages import render

TABLE, PAGE, PARALLEL, AUXILIARY = "trials.csv", "report.html", "parallel.png", "alpha_beta.png"


def write_best(search, rank, output):
    """Writes the recipe of a trial.

    Args:
        search: `Search`.
        rank: int. 1 for the best.
        output: path.

    Returns:
        list of str. What was written, to show.

    Raises:
        SearchError: there are not so many completed trials, or `output` can't be a recipe.
    """
    if output.suffix != ".toml" or not output.parent.is_dir():
        raise SearchError(f"--output must be a .toml file in a folder that is there. Received: {output}.")
    trials = ranked(search.trials())
    if not trials:
        raise SearchError(f"In {search.directory} no trial was completed.")
    if not 1 <= rank <= len(trials):
        raise SearchError(f"--rank must be from 1 to {len(trials)}, the number of completed trials. Received: {rank}.")
    trial = trials[rank - 1]
    values = dict(search.trial_recipe(trial).values)
    values.pop("published", None)
    title = values.get("title", search.name)
    values["title"] = f"{title}, as found by a search"
    about = [
        f"Trial {trial['trial']}, number {rank} of {len(trials)}: validation ELBO {trial[OBJECTIVE]:.4f} nats,",
        f"after epoch {trial['best_epoch']} of {trial['epochs']}, on {search.settings['backend']}.",
        f"Search of {search.settings['date']}: {search.settings['command']}",
        "The best of many on one validation part: what it is worth shows on the test part, and with other seeds.",
    ]
    text = "".join(f"# {' '.join(line.split())}\n" for line in about) + "\n" + tomli_w.dumps(values)
    recipes.from_text(str(output), text)
    write_whole(output, text)
    shown = ", ".join(f"{key} = {value}" for key, value in flat(trial["settings"]).items())
    command = f"python -m zoo train {shlex.quote(str(output))}"
    return [f"{OBJECTIVE} {trial[OBJECTIVE]:.4f}: {shown}", f"  {output}: {command}"]


def write_report(search, rows=20):
    """Writes table, pictures and page.

    Args:
        search: `Search`.
        rows: int. Of the table that is returned.

    Returns:
        list of str. The table, to show.
    """
    trials = search.trials()
    completed = ranked(trials)
    others = [trial for trial in trials if trial["status"] != "completed"]
    table = [_row(rank, trial) for rank, trial in enumerate(completed, start=1)]
    table += [_row(None, trial) for trial in others]
    keys = list(dict.fromkeys(key for row in table for key in row))
    with whole_file(search.path(TABLE)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, keys, restval="")
        writer.writeheader()
        writer.writerows(table)
    drawn = []
    for name, draw in ((PARALLEL, pictures.parallel), (AUXILIARY, pictures.auxiliary)):
        figure = draw(completed)
        if figure is None:
            search.path(name).unlink(missing_ok=True)
            continue
        with whole_file(search.path(name)) as partial:
            figure.savefig(partial, dpi=100, format="png")
        drawn.append(name)
    write_whole(search.path(PAGE), _page(search, table, keys, drawn))
    counts = [sum(trial["status"] == status for trial in trials) for status in ("completed", "failed", "unfinished")]
    summary = "{} trials: {} completed, {} failed, {} unfinished.".format(len(trials), *counts)
    failed = next((trial for trial in trials if trial["error"]), None)
    if failed:
        reason = failed["error"].strip().splitlines()[-1][:300]
        summary += f" Trial {failed['trial']} failed: {reason}"
    return ["", *text_table(table[:rows], keys), "", summary, f"  {search.path(PAGE)}"]


def text_table(table, keys):
    """Lines of a table of dicts, with columns as short as their last word can tell."""
    keys = [key for key in keys if key != "error"]
    heads = pictures.short_names(keys)
    cells = [heads, *([shown(row.get(key)) for key in keys] for row in table)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def shown(value):
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(rank, trial):
    row = {"rank": rank, **{key: value for key, value in trial.items() if key not in ("settings", "error")}}
    return row | flat(trial["settings"]) | ({"error": trial["error"]} if trial["error"] else {})


def _page(search, table, keys, drawn):
    pictures_of = {name: base64.b64encode(search.path(name).read_bytes()).decode() for name in drawn}
    return render(
        Path(__file__).with_name("page.html"),
        title=f"{search.name}: {len(table)} trials by {search.settings['tuner']} search",
        settings=search.settings,
        objective=OBJECTIVE,
        pictures=pictures_of,
        heads=dict(zip(keys, pictures.short_names(keys), strict=True)),
        rows=[[(key, _exact(row.get(key)), shown(row.get(key))) for key in keys] for row in table],
        statuses=[row["status"] for row in table],
    )


def _exact(value):
    """What a column is sorted by."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
