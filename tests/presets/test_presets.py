"""Presets: what is saved is loaded, bit by bit, on either backend, from the wheel, a folder or the hub."""

import errno
import inspect
import os
import pathlib
import sys
import types

import h5py
import keras
import numpy as np
import pytest
from keras import ops

import zf_keras
from tests.models.table import MODELS_HERE, make, sequences
from tests.test_backends import python
from zf_keras import RNN, VRNN, KLAnnealing, SequenceModel, ZForcing, presets
from zf_keras.datasets import Vocabulary, digits
from zf_keras.presets import files

NAMES = {
    "rnn_digits": "RNN",
    "srnn_digits": "SRNN",
    "storn_digits": "STORN",
    "variational_bilstm_digits": "VariationalBiLSTM",
    "vrnn_digits": "VRNN",
    "vrnn_i_digits": "VRNN",
    "z_forcing_digits": "ZForcing",
}


def arrays(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same(model, other):
    assert type(model) is type(other)
    mine, yours = model.get_config(), other.get_config()
    assert mine == yours
    for weight, a, b in zip(model.weights, arrays(model), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=weight.path)
    states = [ops.convert_to_numpy(m.seed_generator.state) for m in (model, other)]
    np.testing.assert_array_equal(*states)


# The bundled presets.


def test_bundled():
    found = SequenceModel.presets
    assert list(found) == list(NAMES)
    for name, entry in found.items():
        assert entry.keys() == {"description", "parameters", "path"}
        cls = getattr(zf_keras, NAMES[name])
        assert name in cls.presets and cls.presets[name] == entry
        assert pathlib.Path(entry["path"]).name == name
    assert list(VRNN.presets) == ["vrnn_digits", "vrnn_i_digits"]
    sizes = [path.stat().st_size for e in found.values() for path in pathlib.Path(e["path"]).rglob("*")]
    assert sum(sizes) < 500_000

    class Mine(ZForcing):
        pass

    assert Mine.presets == {}


@pytest.mark.parametrize("name", NAMES)
def test_bundled_scores_what_its_card_says(name):
    model = SequenceModel.from_preset(name)
    assert type(model).__name__ == NAMES[name]
    metadata, card = (getattr(presets.load_assets(name), key) for key in ("metadata", "card"))
    assert model.count_params() == metadata["parameters"]
    results, test = metadata["results"], digits.load_data(frames="rows").test
    assert (results["dataset"], results["split"], results["sequences"]) == ("digits", "test", len(test))
    for value in (*results["bounds"].values(), *results["one draw"].values()):
        assert f"{value:.4f}" in card
    # Zeros in the place of the draw leave no chance.
    expected = dict(results["without noise"])
    first = expected.pop("sequences")
    shape = (*test.shape[:2], model.noise_dim)
    terms = model.loss_terms(test, noise=np.zeros(shape))
    for term, value in expected.items():
        assert float(ops.mean(terms[term][:first])) == pytest.approx(value, rel=1e-4), term
    if "exact" in results["bounds"]:
        assert model.log_likelihood(test).mean() == pytest.approx(results["bounds"]["exact"], rel=1e-5)
        return
    draws = [model.loss_terms(test, noise=np.random.default_rng(seed).normal(size=shape)) for seed in range(4)]
    for term, value in results["one draw"].items():
        if term == "elbo":
            assert value == results["bounds"]["ELBO"]
            values = [-ops.convert_to_numpy(draw["nll"] + draw["kl"]) for draw in draws]
        else:
            values = [ops.convert_to_numpy(draw[term]) for draw in draws]
        assert_as_drawn(np.stack(values), value)
    bounds = [model.log_likelihood(test, 25, seed=seed, batch_size=len(test) * 25) for seed in range(2)]
    assert_as_drawn(np.stack(bounds), results["bounds"]["IWAE-25"])


def assert_as_drawn(draws, value):
    """Whether `value` is the mean over sequences of one more draw of each, draws: (number, sequences)."""
    error = float(draws.var(axis=0, ddof=1).mean() / draws.shape[1]) ** 0.5
    assert error < 0.05 * abs(value)
    tolerance = 5 * error * (1 + 1 / len(draws)) ** 0.5 + 1e-4 * abs(value)  # the KL of STORN has no chance in it
    assert draws.mean() == pytest.approx(value, abs=tolerance)


# Saved and loaded.


@pytest.mark.parametrize("name", MODELS_HERE)
def test_round_trip(name, tmp_path):
    model = make(name)
    model.save_to_preset(tmp_path / name)
    assert_same(model, type(model).from_preset(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert sorted(p.name for p in (tmp_path / name).iterdir()) == [
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]


@pytest.mark.parametrize("output", ["gaussian_mixture", "categorical"])
def test_round_trip_of_outputs(output, tmp_path):
    model = make("storn", output)
    model.save_to_preset(tmp_path / "preset")
    again = SequenceModel.from_preset(tmp_path / "preset")
    assert_same(model, again)
    data = sequences(output)
    np.testing.assert_array_equal(model.log_likelihood(data, 2, seed=1), again.log_likelihood(data, 2, seed=1))


def test_state(trained, saved):
    """Scores, the count of updates and the random state are kept; the optimizer is not."""
    again = ZForcing.from_preset(saved)
    assert_same(trained, again)
    data = sequences("bernoulli")
    np.testing.assert_array_equal(trained.log_likelihood(data, 3, seed=2), again.log_likelihood(data, 3, seed=2))
    assert int(again.updates) == 3 and float(again.current_weights()["kl"]) == pytest.approx(0.25)
    assert isinstance(again.kl_weight, KLAnnealing) and not again.compiled
    with h5py.File(saved / "model.weights.h5") as file:
        assert "optimizer" not in file and "vars" in file
    by_keras = make("z_forcing", "bernoulli", random=False)
    by_keras.load_weights(saved / "model.weights.h5")
    for a, b in zip(arrays(trained), arrays(by_keras), strict=True):
        np.testing.assert_array_equal(a, b)


def test_arguments(trained, saved):
    again = ZForcing.from_preset(saved, alpha=0.7, seed=5, kl_weight=KLAnnealing(0.3), dtype="mixed_bfloat16")
    assert (again.alpha, again.seed, again.kl_weight.initial) == (0.7, 5, 0.3)
    assert again.dtype_policy.name == "mixed_bfloat16"
    for a, b in zip(arrays(trained), arrays(again), strict=True):
        np.testing.assert_array_equal(a, b)
    fresh = keras.random.SeedGenerator(5)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(g.state) for g in (again.seed_generator, fresh)))
    new = ZForcing.from_preset(saved, load_weights=False, units=7)
    assert new.units == 7 and new.built and int(new.updates) == 0
    for wrong, match in (
        ({"units": 7}, r"do not fit units=7: it holds no \(7,.*load_weights=False"),
        ({"alpha": 0}, "do not fit alpha=0: it holds .* of which the model has no weight"),
        ({"alpha": -1}, "`alpha` must be a finite number >= 0"),
        ({"unit": 7}, "no argument `unit`. The nearest is `units`"),
    ):
        with pytest.raises(ValueError, match=match):
            ZForcing.from_preset(saved, **wrong)


def test_another_class(saved):
    for cls in (VRNN, RNN):
        with pytest.raises(ValueError, match=rf"{cls.__name__}.from_preset: .* Use ZForcing.from_preset"):
            cls.from_preset(saved)
    with pytest.raises(ValueError, match=r"'rnn_digits' is the preset of another class\. Use RNN\.from_preset"):
        ZForcing.from_preset("rnn_digits")


def test_names(saved, tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"'z_forcing_digit'. Near it: 'z_forcing_digits'.*Bundled: 'rnn_digits',"
    ):
        SequenceModel.from_preset("z_forcing_digit")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rnn_digits").symlink_to(saved)
    assert type(SequenceModel.from_preset("rnn_digits")) is RNN  # the bundled one comes first
    assert type(SequenceModel.from_preset("./rnn_digits")) is ZForcing
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty is not a preset: it has no metadata\.json"):
        SequenceModel.from_preset(tmp_path / "empty")


def test_assets(saved, tmp_path):
    assets = presets.load_assets(saved)
    assert assets.statistics["mean"] == 0.5 and assets.vocabulary is None
    np.testing.assert_array_equal(assets.statistics["std"], [1.0, 2.0, 3.0])
    assert assets.metadata["results"] == {"elbo": -3.5}
    assert assets.card == (saved / "README.md").read_text()
    tokens = ["\ufffd", "", "b", "a", "ü"]
    model = RNN(units=3, output="categorical", num_classes=5)
    model.build((None, None))
    model.save_to_preset(tmp_path / "text", vocabulary=tokens)
    vocabulary = presets.load_assets(tmp_path / "text").vocabulary
    assert vocabulary.tokens == tokens and vocabulary.level == "characters"
    assert vocabulary.encode("aüxb").tolist() == [3, 4, 0, 2] and vocabulary.decode([3, 4]) == "aü"
    words = Vocabulary(["<unk>", "<s>", "</s>", "the", "cat"], "words", lowercase=False)
    model.save_to_preset(tmp_path / "text", vocabulary=words, overwrite=True)
    vocabulary = presets.load_assets(tmp_path / "text").vocabulary
    assert vocabulary.encode("the The cat").tolist() == [3, 0, 4]
    assert vocabulary.decode([1, 3, 4, 2, 3]) == "the cat"
    for wrong, match in (
        (["a"], "must be different ones"),
        (tokens[:4], "has 4 tokens, .* num_classes=5"),
        (3, "list"),
    ):
        with pytest.raises(ValueError, match=match):
            model.save_to_preset(tmp_path / "wrong", vocabulary=wrong)
    for wrong in ({"mean": np.nan}, {"mean": "1"}, [1.0], {"mean": [[1.0], "a"]}, {1: 2.0}):
        with pytest.raises(ValueError, match="`statistics` must"):
            model.save_to_preset(tmp_path / "wrong", statistics=wrong)
    for wrong in (
        {"licence": 5},
        {"description": b"x"},
        {"results": {"elbo": object()}},
        {"results": {"elbo": np.nan}},
    ):
        with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must"):
            model.save_to_preset(tmp_path / "wrong", **wrong)
    assert not (tmp_path / "wrong").exists()


def test_card(trained, tmp_path):
    trained.save_to_preset(tmp_path / "a", "A sentence.", "CC-BY-4.0", results={"elbo": np.float32(-2.5)})
    card = (tmp_path / "a" / "README.md").read_text()
    assert card.startswith('---\nlibrary_name: zf_keras\nlicense: "cc-by-4.0"\n') and "\n# a\n\nA sentence.\n" in card
    for part in (
        "`units`: `5`",
        "`kl_weight`: `KLAnnealing`, initial `0.1`",
        '`{"elbo": -2.5}`',
        "## Limits\n\nNot stated.",
    ):
        assert part in card
    assert "`free_nats`" not in card  # as by default
    trained.save_to_preset(tmp_path / "b", licence="of my own", card="# Mine")
    card = (tmp_path / "b" / "README.md").read_text()
    assert 'license: other\nlicense_name: "of my own"\n' in card and card.endswith("---\n\n# Mine\n")
    (tmp_path / "b" / "README.md").write_text("edited")  # as a card may be
    assert ZForcing.from_preset(tmp_path / "b").units == 5
    (tmp_path / "b" / "README.md").unlink()
    assert presets.load_assets(tmp_path / "b").card is None


@keras.saving.register_keras_serializable("tests")
class Registered(RNN):
    def __init__(self, units, output, twice=False, **kwargs):
        super().__init__(units, output, **kwargs)
        self.twice = twice


class Unregistered(RNN):
    pass


def test_a_class_of_ones_own(tmp_path):
    head = zf_keras.GaussianMixtureHead(num_components=2)
    model = Registered(3, head, twice=True)
    model.build((None, None, 2))
    model.save_to_preset(tmp_path / "mine")
    again = RNN.from_preset(tmp_path / "mine")
    assert type(again) is Registered and again.twice and again.head.num_components == 2
    with pytest.raises(ValueError, match=r"Registered\.from_preset: 'rnn_digits' is the preset of another class"):
        Registered.from_preset("rnn_digits")
    model = Unregistered(3, "gaussian")
    model.build((None, None, 2))
    with pytest.raises(ValueError, match="Unregistered is not registered with Keras"):
        model.save_to_preset(tmp_path / "other")


OTHER_BACKEND = """
import sys
from zf_keras import SequenceModel
SequenceModel.from_preset(sys.argv[1]).save_to_preset(sys.argv[2])
"""


def test_the_other_backend(trained, saved, tmp_path):
    """There and back; what a model computes on both is tested with the bundled presets."""
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.config.backend()]
    pytest.importorskip(other)
    run = python("-c", OTHER_BACKEND, str(saved), str(tmp_path / "back"), backend=other)
    assert run.returncode == 0, run.stderr
    assert presets.load_assets(tmp_path / "back").metadata["backend"] == other
    again = ZForcing.from_preset(tmp_path / "back")
    assert_same(trained, again)
    assert int(again.updates) == 3


# Saving is all or nothing.


def test_what_is_there_is_left_alone(trained, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="must be empty or a preset"):
        trained.save_to_preset(tmp_path / "full", overwrite=True)
    with pytest.raises(ValueError, match="must be a folder"):
        trained.save_to_preset(tmp_path / "file", overwrite=True)
    (tmp_path / "empty").mkdir()
    trained.save_to_preset(tmp_path / "empty", "first")
    with pytest.raises(ValueError, match="pass overwrite=True"):
        trained.save_to_preset(tmp_path / "empty")
    trained.save_to_preset(tmp_path / "empty", "second", overwrite=True)
    assert presets.load_assets(tmp_path / "empty").metadata["description"] == "second"
    (tmp_path / "empty" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"holds thesis.tex, which is not of its preset"):
        trained.save_to_preset(tmp_path / "empty", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


@pytest.mark.parametrize("when", ["weights", "metadata", "sync", "rename"])
def test_full_disk(trained, tmp_path, monkeypatch, when):
    """What was there is as it was, at every moment but between two renames, and nothing half-written stays."""
    trained.save_to_preset(tmp_path / "preset", "first")

    def full(*args, **kwargs):
        assert not (tmp_path / "other").exists()
        assert (tmp_path / "preset").exists() == (when != "rename" or target == "other")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if when == "weights":
            patch.setattr(zf_keras.presets.weights, "write", full)
        elif when == "metadata":
            patch.setattr(files, "listed", full)
        elif when == "sync":
            patch.setattr(os, "fsync", full)
        else:
            rename = pathlib.Path.rename
            patch.setattr(pathlib.Path, "rename", lambda a, b: full() if a.name == "new" else rename(a, b))
        for target in ("preset", "other"):
            with pytest.raises(OSError, match=r"No space left to write .*as it was"):
                trained.save_to_preset(tmp_path / target, "second", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    assert presets.load_assets(tmp_path / "preset").metadata["description"] == "first"


def test_what_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not built"):
        ZForcing(3, 2, "gaussian").save_to_preset(tmp_path / "a")
    model = make("storn")
    model.trainable_weights[0].assign(np.full(model.trainable_weights[0].shape, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        model.save_to_preset(tmp_path / "a")
    with pytest.raises(ValueError, match=r"`results` must be a dict of JSON values"):
        make("storn").save_to_preset(tmp_path / "a", results={"elbo": float("nan")})
    assert not list(tmp_path.iterdir())


# The hub.


@pytest.fixture
def hub(copy, tmp_path, monkeypatch):
    """The hub's cache as it is on disk: snapshots of links into blobs."""
    repository = tmp_path / "models--user--repo"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(path for path in sorted(copy.rglob("*")) if path.is_file()):
        path.rename(repository / "blobs" / str(number))
        for folder in ("snapshots/abc", "snapshots/abc/sub"):
            link = repository / folder / path.relative_to(copy)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(repository / "blobs" / str(number))
    calls = []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None, library_name=None, library_version=None):
        calls.append((repo_id, revision, allow_patterns))
        return str(repository / "snapshots/abc")

    fake = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return types.SimpleNamespace(calls=calls, repository=repository)


def test_hub(hub, trained, tmp_path):
    again = ZForcing.from_preset("hf://user/repo@v1.0")
    assert_same(trained, again)
    (call,) = hub.calls
    assert call[:2] == ("user/repo", "v1.0")
    assert call[2] == ["metadata.json", "config.json", "model.weights.h5", "README.md", "assets/*.json"]
    assert presets.load_assets("hf://user/repo/sub").statistics["mean"] == 0.5
    assert hub.calls[1][:2] == ("user/repo", None) and hub.calls[1][2][0] == "sub/metadata.json"
    link = hub.repository / "snapshots/abc/config.json"
    (tmp_path / "outside").write_bytes(link.read_bytes())
    link.unlink()
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="is a link that leads out of it"):
        ZForcing.from_preset("hf://user/repo")


@pytest.mark.parametrize("name", ["hf://", "hf://repo", "hf://user/repo/../x", "hf://user/repo@", "hf://user/re po"])
def test_names_on_the_hub(hub, name):
    with pytest.raises(ValueError, match=r"must be hf://user/repo"):
        ZForcing.from_preset(name)
    assert not hub.calls


def test_hub_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "zf_keras\[presets\]"'):
        ZForcing.from_preset("hf://user/repo")


def test_hub_takes_our_arguments():
    huggingface_hub = pytest.importorskip("huggingface_hub")
    parameters = inspect.signature(huggingface_hub.snapshot_download).parameters
    assert {"repo_id", "revision", "allow_patterns", "library_name", "library_version"} <= set(parameters)
