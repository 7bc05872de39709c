"""Table, pictures and recipe of a search whose trials are written here."""

import csv
import html.parser

import matplotlib.image

from tests.tuning.written import write_trial, write_trials
from tuning import report
from tuning.__main__ import main
from zoo import recipes


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
    assert all(link.startswith("data:") for link in page.links) and "http" not in text
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
