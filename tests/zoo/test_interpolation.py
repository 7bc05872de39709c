"""`python -m zoo interpolate`: text of different lengths, frames, and what it refuses."""

import keras
import numpy as np
from matplotlib import image

from tests.zoo.command_line import done, refused
from tests.zoo.conftest import begin_tiny
from tests.zoo.test_other_data import TEXT
from zf_keras import STORN
from zoo import interpolation
from zoo.runs import BEST, Run

WORDS = TEXT.replace("length = 16", 'level = "words"\nsentences = "lines"').replace("test = 0.2", "test = 0.3")


def test_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(list("abcdefgh"), rng.integers(2, 9))) for _ in range(60)]
    (tmp_path / "book.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "words.toml").write_text(WORDS)
    done("train", "words.toml", "--source", "book.txt", "--run-dir", "here")
    run = Run("here")
    test, vocabulary = run.load_data().test, run.load_data().train.manifest["survey"]["vocabulary"]
    first, second = (int(i) for i in (np.argmin(test.lengths), np.argmax(test.lengths)))
    chosen = ("--first", first, "--second", second)
    out = done("interpolate", "here", *chosen, "--points", 5, "--seed", 4)
    assert out.splitlines()[-2:] == ["here/interpolation/interpolation.npz", "here/interpolation/interpolation.txt"]
    assert out.startswith((tmp_path / "here/interpolation/interpolation.txt").read_text())
    model, ends = keras.saving.load_model(run.path(BEST)), (test[first][None], test[second][None])
    argmax = model.interpolate(*ends, 5, seed=4)[:, 0]
    sampling = model.interpolate(*ends, 5, "sample", seed=4, top_k=10, num_draws=10)[:, 0]
    lengths = [
        round(a * (len(test[second]) - len(test[first])) + len(test[first]) + 1e-9) for a in (0, 0.25, 0.5, 0.75, 1)
    ]

    def sentence(tokens):
        return " ".join(vocabulary[token] for token in tokens).partition("</s>")[0].replace("<s>", "").split()

    head, rows = out.split("\n\n")[:2]
    assert [line.partition(": ")[2].split() for line in head.splitlines()] == [sentence(end[0]) for end in ends]
    title, *rows = rows.splitlines()
    column = title.index("sampling")
    assert title.split() == ["a", "argmax", "sampling"]
    assert [row[:4] for row in rows] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    for row, likeliest, drawn, length in zip(rows, argmax, sampling, lengths, strict=True):
        assert row[4:column].split() == sentence(likeliest[:length])
        assert row[column:].split() == sentence(drawn[:length])
    with np.load("here/interpolation/interpolation.npz") as file:
        np.testing.assert_array_equal(file["mode"], argmax)
        np.testing.assert_array_equal(file["sample"], sampling)
        np.testing.assert_array_equal(file["lengths"], lengths)
        np.testing.assert_array_equal(file["sequences"], [first, second])
    (tmp_path / "here/interpolation/old.txt").touch()
    assert done("interpolate", "here", "--seed", 1) == done("interpolate", "here", "--seed", 1)
    assert not (tmp_path / "here/interpolation/old.txt").exists()
    for arguments, message in (
        (("--first", len(test)), f"`first` must be one of the {len(test)} test sequences"),
        (("--second", -1), "Received: second=-1"),
        (("--points", 0), "`points` must be a positive integer"),
        (("--draws", 0), "`draws` must be a positive integer"),
        (("--top-k", 0), "`top_k` must be a positive integer"),
    ):
        assert message in refused("interpolate", "here", *arguments)


def test_frames(tmp_path, monkeypatch):
    run = begin_tiny(tmp_path / "run", model__class="STORN", model__latent_dim=2)
    model = STORN(4, 2, "bernoulli", seed=0)
    model.build((None, 8, 8))
    monkeypatch.setattr(interpolation, "best_model", lambda run: (model, 1))
    paths = interpolation.interpolate(run, second=7, points=3)
    assert paths == [run.path(f"interpolation/interpolation.{kind}") for kind in ("npz", "png")]
    assert np.ptp(image.imread(paths[1])) > 0.9
    with np.load(paths[0]) as file:
        first, second = file["sequences"]
        test = run.load_data().test
        assert first != second == 7 and list(file["lengths"]) == [8, 8, 8]
        ends = test[int(first)][None], test[7][None]
        np.testing.assert_array_equal(file["mode"], model.interpolate(*ends, 3, seed=0)[:, 0])
        np.testing.assert_array_equal(file["sample"], model.interpolate(*ends, 3, "sample", seed=0)[:, 0])


def test_no_latents(tiny):
    assert "RNN has no latents" in refused("interpolate", tiny.directory)
    assert not tiny.path("interpolation").exists()
