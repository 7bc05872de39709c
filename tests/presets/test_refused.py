"""Damaged, newer and hostile presets are refused before they do anything."""

import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from zf_keras import SequenceModel, presets
from zf_keras.presets import files


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def sign(directory):
    """Checksums of what is there now, as a forger writes them."""
    edit(directory / "metadata.json", lambda metadata: metadata.update(files=files.listed(directory)))


def configure(directory, **values):
    edit(directory / "config.json", lambda config: config["config"].update(values))
    sign(directory)


def refusal(directory, match):
    with pytest.raises(ValueError, match=match) as raised:
        SequenceModel.from_preset(directory)
    assert str(directory) in str(raised.value)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/statistics.json"])
def test_tampered_truncated_and_missing(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    refusal(copy, f"is damaged: {name} does not have the SHA-256")
    (copy / name).write_bytes(data[:-1])
    refusal(copy, f"is damaged: {name} has {len(data) - 1} bytes")
    (copy / name).unlink()
    refusal(copy, f"is not whole: {name} is missing")
    os.mkfifo(copy / name)  # which reading would wait for
    refusal(copy, f"is not whole: {name} is missing")


@pytest.mark.parametrize(
    "text, match",
    [
        ("", "can't be read as JSON"),
        ('{"format": 1', "can't be read as JSON"),
        ('{"format": NaN}', "can't be read as JSON .*NaN"),
        ("[" * 100_000, "can't be read as JSON"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested less than"),
        ("[1]", "must be a JSON object"),
        ('{"format": 1' + " " * 2**20 + "}", "of at most 1048576"),
        ('{"format": ' + "1" * 5000 + "}", "can't be read as JSON"),
        ("{}", "has format None"),
        ('{"format": true}', "has format True"),
        ('{"format": 1}', "must list the files"),
        (
            '{"format": 2, "versions": {"zf_keras": "9.1"}}',
            "format 2, written by zf_keras 9.1. This is .* up to 1: install",
        ),
    ],
)
def test_metadata(copy, text, match):
    (copy / "metadata.json").write_text(text)
    refusal(copy, match)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "assets/../../x", "assets\\x", "C:x", "a\0b", "", ".", "assets/", "assets//x", "é"]
)
def test_names_that_lead_out(copy, name):
    entry = {"size": 1, "sha256": ""}
    edit(copy / "metadata.json", lambda metadata: metadata["files"].update({name: entry}))
    refusal(copy, "is not the name of a file inside a preset")


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5", "assets"])
def test_links_that_lead_out(copy, tmp_path, name):
    (copy / name).rename(tmp_path / "outside")
    (copy / name).symlink_to(tmp_path / "outside")
    refusal(copy, "is a link that leads out of it")


def test_a_card_that_is_elsewhere(copy, tmp_path):
    (copy / "README.md").unlink()
    (copy / "README.md").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ValueError, match=r"README\.md is a link that leads out of it"):
        presets.load_assets(copy)


CALLED = []


@keras.saving.register_keras_serializable("tests")
def registered_function(*args, **kwargs):
    CALLED.append(args)


def spec(class_name, module=None, registered_name=None, config=None):
    return {"class_name": class_name, "module": module, "registered_name": registered_name, "config": config or {}}


@pytest.mark.parametrize(
    "value",
    [
        spec("__lambda__", config={"value": "4wEAAAA="}),
        spec("__lambda__", registered_name="zf_keras>KLAnnealing"),
        spec("function", "builtins", "function", "eval"),
        spec("registered_function", registered_name="tests>registered_function"),
        spec("Popen", "subprocess", "Popen", {"args": "true"}),
        spec("CosineDecay", "subprocess"),
        spec("Lambda", "keras.layers"),
        spec("get_file", "keras.utils"),
        spec("deserialize", "keras.optimizers.schedules"),
        spec("Evil", "evil_module", "evil>Evil"),
        spec("__tensor__", config={"value": [1.0], "dtype": "float32"}),
        spec("__typespec__"),
        spec(None),
        spec(["CosineDecay"], "keras.optimizers.schedules"),
        {"class_name": "KLAnnealing"} | {"config": {"initial": spec("Popen", "subprocess")}},
    ],
    ids=lambda value: str(value.get("class_name")),
)
def test_classes_that_are_refused(copy, value, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: CALLED.append(args))
    (copy.parent / "evil_module.py").write_text("raise SystemExit('imported')\nclass Evil: pass")
    monkeypatch.syspath_prepend(str(copy.parent))
    configure(copy, kl_weight=value)
    refusal(copy, "is refused: it names")
    assert not CALLED and "evil_module" not in sys.modules
    edit(copy / "config.json", lambda config: config.update(value))  # in the model's own place
    sign(copy)
    refusal(copy, "is refused: it names|is damaged")
    assert not CALLED and "evil_module" not in sys.modules


def test_no_model(copy):
    for change, match in (
        ({"registered_name": "zf_keras>KLAnnealing", "class_name": "KLAnnealing"}, "KLAnnealing is not a model"),
        ({"config": None}, "must hold a config"),
        ({"build_config": [1]}, "must hold a config and a build_config"),
        ({"build_config": {"features": 3}}, "describes no ZForcing"),
    ):
        text = (copy / "config.json").read_text()
        edit(copy / "config.json", lambda config, change=change: config.update(change))
        sign(copy)
        refusal(copy, match)
        (copy / "config.json").write_text(text)
    configure(copy, dtype=spec("DTypePolicy", "keras", None, {"name": "float9"}))
    refusal(copy, "describes no ZForcing")


@pytest.mark.parametrize("size", ["units", "latent_dim", "hidden_units", "embedding_dim", "latent_units", "num_layers"])
def test_sizes_are_those_of_the_weights(copy, size):
    """A thousand million of anything takes no memory and no time."""
    configure(copy, **{size: 10**9})
    refusal(copy, "must be at most|does not fit config.json")
    configure(copy, **{size: 2 * 10**4})
    refusal(copy, "does not fit config.json")
    configure(copy, **{size: "5"})
    refusal(copy, "describes no ZForcing|does not fit config.json")


def rewrite(directory, change):
    with h5py.File(directory / "model.weights.h5", "a") as file:
        change(file)
    sign(directory)


def replaced(file):
    """Name of a dataset of (3, 20), which is taken out."""
    name = next(name for name in datasets(file) if file[name].shape == (3, 20))
    del file[name]
    return name


def datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def external_link(file):
    file["link"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    file["link"] = h5py.SoftLink("/vars")


def cycle(file):
    file["head/again"] = file["/"]


def external_storage(file):
    name = replaced(file)
    file.create_dataset(name, (3, 20), "float32", external=[("/etc/passwd", 0, 240)])


def virtual(file):
    name = replaced(file)
    layout = h5py.VirtualLayout((3, 20), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 20))
    file.create_virtual_dataset(name, layout)


def compressed(file):
    name = replaced(file)
    file.create_dataset(name, data=np.zeros((3, 20), "float32"), compression="gzip")


def nothing_stored(file):
    file.create_dataset("bomb", (2**40,), "float32")


def strings(file):
    name = replaced(file)
    file[name] = np.array([[b"x" * 4] * 20] * 3)


def objects(file):
    file.create_dataset("objects", data=["a"], dtype=h5py.string_dtype())


def a_type(file):
    file["type"] = np.dtype("float32")


def empty(file):
    file["empty"] = h5py.Empty("float32")


def missing(file):
    replaced(file)


def extra(file):
    file["cell/vars/7"] = np.zeros((4, 4), "float32")


def wrong_shape(file):
    name = replaced(file)
    file[name] = np.zeros((20, 3), "float32")


def swapped(file):
    """The same shapes, elsewhere."""
    replaced(file)
    file["nowhere/vars/0"] = np.zeros((3, 20), "float32")


def infinite(file):
    name = next(name for name in datasets(file) if file[name].shape == (3, 20))
    file[name][1, 1] = np.inf


def beyond_float32(file):
    name = replaced(file)
    file[name] = np.full((3, 20), 1e300)


@pytest.mark.parametrize(
    "change, match",
    [
        (external_link, "/link is a link to elsewhere"),
        (soft_link, "/link is a link to elsewhere"),
        (cycle, "is there under another name|is a link"),
        *((f, "not a plain array") for f in (external_storage, virtual, compressed, nothing_stored)),
        *((f, "not a plain array") for f in (strings, objects, a_type, empty)),
        (missing, r"it holds no \(3, 20\)"),
        (extra, r"it holds \(4, 4\), of which the model has no weight"),
        (wrong_shape, r"it holds no \(3, 20\); it holds \(20, 3\)"),
        (swapped, "does not fit config.json"),
        *((f, "numbers that are not finite") for f in (infinite, beyond_float32)),
    ],
)
def test_weights(copy, change, match):
    rewrite(copy, change)
    refusal(copy, match)


def test_weights_that_are_no_hdf5(copy):
    whole = (copy / "model.weights.h5").read_bytes()
    for data in (b"", b"PK\x03\x04" * 100, whole[: len(whole) // 2]):
        (copy / "model.weights.h5").write_bytes(data)
        sign(copy)
        refusal(copy, "is damaged: it can't be read as HDF5")


@pytest.mark.parametrize(
    "name, text, match",
    [
        ("statistics", '{"mean": "x"}', "finite numbers"),
        ("statistics", '{"mean": Infinity}', "can't be read as JSON"),
        ("vocabulary", '{"tokens": []}', "must have tokens, level and lowercase"),
        ("vocabulary", '{"tokens": [1], "level": "characters", "lowercase": true}', "list of strings"),
        ("vocabulary", '{"tokens": [], "level": "os", "lowercase": true}', "`level` must be one of"),
    ],
)
def test_wrong_assets(copy, name, text, match):
    (copy / "assets" / f"{name}.json").write_text(text)
    sign(copy)
    with pytest.raises(ValueError, match=match):
        presets.load_assets(copy)
