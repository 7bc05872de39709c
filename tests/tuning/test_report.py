"""Table, pictures and recipe of a search whose trials are written here."""

import csv
import html.parser
import json

import matplotlib.image
import pytest

from tuning import pictures, report
from tuning.__main__ import main
from tuning.searches import Search
from tuning.spaces import recipe_with
from zoo import recipes
from zoo.runs import Run

SETTINGS = {
    "tuner": "random",
    "space": None,
    "trials": 9,
    "budget_minutes": None,
    "seed": 0,
    "keep_models": False,
    "workers": 1,
    "memory_limit_mb": None,
    "command": "python -m tuning search <b>&",
}


@pytest.fixture
def search(tmp_path):
    return Search.begin(tmp_path / "search", recipes.load("digits/z_forcing", True), None, SETTINGS)


def write_trial(search, number, settings, val_elbo, status="COMPLETED", error=None):
    folder = search.path("tuner") / f"trial_{number}"
    run = Run.begin(folder / "run", recipe_with(search.recipe, settings), False, None)
    values = [val_elbo - 3, val_elbo, val_elbo - 1] if val_elbo else []
    run.write_rows([{"epoch": epoch, "val_elbo": value} for epoch, value in enumerate(values, start=1)])
    state = {"trial_id": str(number), "status": status, "score": val_elbo if status == "COMPLETED" else None}
    (folder / "trial.json").write_text(json.dumps(state))
    outcome = {"settings": settings, "seconds": 2.5, "error": error}
    (folder / "outcome.json").write_text(json.dumps(outcome))


def write_trials(search, auxiliary=True):
    for number, val_elbo in enumerate((-20.0, -18.0, -30.0)):
        settings = {"model.units": 8 * (number + 1), "optimizer.learning_rate": 10.0 ** -(number + 1)}
        if auxiliary:
            settings |= {"model.alpha": 0.001 * number, "model.beta": 0.0}
        settings["schedule.kl_weight"] = {"initial": 0.1 * number, "epochs": 3} if number else None
        write_trial(search, number, settings, val_elbo)
    settings = {"model.units": 4, "optimizer.learning_rate": 5.0}
    write_trial(search, 3, settings, None, "FAILED", "Update 3: <nll> not finite")
    write_trial(search, 4, settings, -17.0, "RUNNING")


class Page(html.parser.HTMLParser):
    """Tags and text of a page; what it links to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_report(search, capsys):
    write_trials(search)
    assert main(["report", str(search.directory)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.strip().splitlines()]
    assert lines[0][:6] == ["rank", "trial", "status", "val_elbo", "best_epoch", "epochs"]
    assert lines[1][:6] == ["1", "1", "completed", "-18", "2", "3"] and lines[2][:2] == ["2", "0"]
    assert lines[4][:2] == ["3", "failed"] and lines[5][:3] == ["4", "unfinished", "-17"]
    assert "5 trials: 3 completed, 1 failed, 1 unfinished." in out
    with search.path("trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "0", "2", "3", "4"]
    assert rows[0]["model.alpha"] == "0.001" and rows[0]["schedule.kl_weight.initial"] == "0.1"
    assert rows[3]["error"] == "Update 3: <nll> not finite" and rows[1]["schedule.kl_weight.initial"] == ""
    for name in ("parallel.png", "alpha_beta.png"):
        assert matplotlib.image.imread(search.path(name)).std() > 0.02
    text = search.path("report.html").read_text()
    page = Page(text)
    assert page.tags.count("img") == 2 and page.tags.count("tr") == 6 and "b" not in page.tags
    assert all(link.startswith("data:image/png;base64,") for link in page.links) and "http" not in text
    assert "<nll> not finite" in page.text and "search <b>&" in page.text


def test_without_auxiliary_weights_there_is_no_picture_of_them(search):
    write_trials(search, auxiliary=False)
    report.write_report(search)
    assert search.path("parallel.png").exists() and not search.path("alpha_beta.png").exists()


def test_nothing_completed(search, capsys):
    assert main(["report", str(search.directory)]) == 0
    assert "0 trials" in capsys.readouterr().out
    write_trial(search, 0, {"model.units": 4}, None, "FAILED", "no")
    assert main(["report", str(search.directory)]) == 0
    assert not search.path("parallel.png").exists()
    assert main(["best", str(search.directory)]) == 1
    assert "no trial was completed" in capsys.readouterr().err


def test_best_is_a_recipe(search, tmp_path, capsys):
    write_trials(search)
    assert main(["best", str(search.directory), "--output", str(tmp_path / "my.toml")]) == 0
    assert f"python -m zoo train {tmp_path / 'my.toml'}" in capsys.readouterr().out
    found = recipes.load(str(tmp_path / "my.toml"))
    model = search.recipe.values["model"] | {"units": 16, "alpha": 0.001, "beta": 0.0}
    assert found.values["model"] == model and found.values["optimizer"]["learning_rate"] == 0.01
    assert found.values["schedule"]["kl_weight"] == {"initial": 0.1, "epochs": 3}
    assert {key: found.values[key] for key in ("data", "training")} == {
        key: search.recipe.values[key] for key in ("data", "training")
    }
    text = (tmp_path / "my.toml").read_text()
    assert "-18.0000" in text and "Trial 1" in text and search.settings["date"] in text
    assert main(["best", str(search.directory), "--rank", "2"]) == 0
    second = recipes.load(str(search.path("best.toml")))
    assert second.values["model"]["units"] == 8 and "kl_weight" not in second.values["schedule"]
    assert main(["best", str(search.directory), "--rank", "4"]) == 1
    assert "--rank must be from 1 to 3" in capsys.readouterr().err


def test_scales():
    scale = pictures._Scale([0.0, 1e-4, 1e-2, 1e-3])
    assert [scale.height(value) for value in (0.0, 1e-4, 1e-2)] == [0.0, 0.12, 1.0]
    assert scale.height(1e-3) == pytest.approx(0.56)
    scale = pictures._Scale([2, 4, 6])
    assert [scale.height(value) for value in (2, 4, 6)] == [0.0, 0.5, 1.0]
    assert dict(scale.ticks()) == {0.0: "2", 0.5: "4", 1.0: "6"}
    scale = pictures._Scale([i / 10 for i in range(11)])
    assert dict(scale.ticks()) == {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    scale = pictures._Scale(["a", None, "b"])
    assert [scale.height(value) for value in (None, "a", "b")] == [0.0, 0.12, 1.0]
