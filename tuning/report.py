"""What a search found: its table, pictures, one HTML file, and the recipe of the best trial."""

import base64
import csv
import html
import math
import shlex

import tomli_w

from tuning import pictures
from tuning.metadata import OBJECTIVE, SearchError
from tuning.records import flat, ranked
from zf_keras.files import whole_file, write_whole
from zoo import recipes

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


PAGE_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 100em }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }}
th {{ cursor: pointer; position: sticky; top: 0; background: #fff }} tr.failed, tr.unfinished {{ color: #999 }}
td.error {{ white-space: pre-wrap; text-align: left; max-width: 40em }} img {{ max-width: 100% }}
</style></head><body><h1>{title}</h1>
"""
SORT = """<script>
document.querySelectorAll("th").forEach((head, column) => head.onclick = () => {
  const body = document.querySelector("tbody"), up = head.dataset.up = head.dataset.up === "1" ? "0" : "1"
  const key = row => row.cells[column].dataset.value
  const sorted = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)]
    if (x === "" || y === "") return (x === "") - (y === "")
    return (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y) * (up === "1" ? 1 : -1)
  })
  body.append(...sorted)
})
</script></body></html>
"""


def _page(search, table, keys, drawn):
    settings, text = search.settings, html.escape
    title = text(f"{search.name}: {len(table)} trials by {settings['tuner']} search")
    versions = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    parts = [PAGE_HEAD.format(title=title)]
    parts.append(f"<p><code>{text(settings['command'])}</code><br>{text(settings['date'])}, seed {settings['seed']}, ")
    parts.append(f"{text(versions)}. {OBJECTIVE}: the best of the epochs, nats a sequence.</p>")
    for name in drawn:
        picture = base64.b64encode(search.path(name).read_bytes()).decode()
        parts.append(f'<p><img alt="{text(name)}" src="data:image/png;base64,{picture}"></p>')
    heads = "".join(
        f'<th title="{text(key)}">{text(short)}</th>'
        for key, short in zip(keys, pictures.short_names(keys), strict=True)
    )
    parts.append(f"<p>A click on a column sorts by it.</p><table><thead><tr>{heads}</tr></thead><tbody>")
    for row in table:
        cells = "".join(_cell(key, row.get(key)) for key in keys)
        parts.append(f'<tr class="{text(row["status"])}">{cells}</tr>')
    parts.append(f"</tbody></table>{SORT}")
    return "\n".join(parts)


def _cell(key, value):
    exact = "" if value is None or (isinstance(value, float) and math.isnan(value)) else html.escape(str(value))
    return f'<td class="{html.escape(key.rpartition(".")[2])}" data-value="{exact}">{html.escape(shown(value))}</td>'
