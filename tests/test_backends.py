"""What holds between backends, and where one is missing or unsupported."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests import backend_values

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
TRAIN_AND_LOAD = """
import keras, numpy as np, zf_keras
assert "tensorflow_probability" not in sys.modules  # imported at first use
model = zf_keras.ZForcing(units=4, latent_dim=2, output="bernoulli")
model.compile(optimizer="adam")
model.fit(np.zeros((4, 3, 2)), epochs=2, verbose=0)
model.save(sys.argv[1])
model = keras.saving.load_model(sys.argv[1])
assert model.generate(2, 3).shape == (2, 3, 2) and np.isfinite(model.log_likelihood(np.zeros((1, 3, 2)), 4)).all()
assert "tensorflow" not in sys.modules
"""


def start_python(*arguments, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True, **pipes)


def finished(process):
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def python(*arguments, backend):
    return finished(start_python(*arguments, backend=backend))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="compared in the run on TensorFlow")
def test_tensorflow_and_jax_agree_on_loss_and_gradients(tmp_path):
    pytest.importorskip("jax")
    other = start_python("-m", "tests.backend_values", str(tmp_path / "values.npz"), backend="jax")
    mine = backend_values.values()
    run = finished(other)
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "values.npz") as file:
        other = dict(file)
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-5 * scale + 1e-7, err_msg=name)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="about the JAX backend")
def test_jax_needs_no_tensorflow(tmp_path):
    run = python("-c", ABSENT + TRAIN_AND_LOAD, str(tmp_path / "model.keras"), backend="jax")
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="once is enough")
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_unsupported_backend(backend):
    run = python("-c", "import zf_keras", backend=backend)
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: zf_keras runs on") and repr(backend) in last


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="once is enough")
def test_missing_package():
    code = "import importlib.util as u; find = u.find_spec\n"
    code += "u.find_spec = lambda n, *a: None if n == 'tf_keras' else find(n, *a)\nimport zf_keras"
    run = python("-c", code, backend="tensorflow")
    assert "needs tf_keras: pip install 'zf_keras[tensorflow]'" in run.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="once is enough")
def test_no_backend_chosen_and_no_tensorflow():
    run = python("-c", ABSENT + "import zf_keras", backend="")
    assert run.stderr.strip().splitlines()[-1].startswith("ImportError: Keras cannot load its backend (No module named")
    assert "KERAS_BACKEND=jax" in run.stderr


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="once is enough")
@pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="needs the package build")
def test_wheel_holds_the_library_only(tmp_path):
    import pathlib
    import shutil
    import zipfile

    root, source = pathlib.Path(__file__).parent.parent, tmp_path / "source"
    source.mkdir()
    for name in ("zf_keras", "zoo", "tests/reference"):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"zf_keras"}
    assert "zf_keras/datasets/digits.npz" in names
    for file in ("config.json", "metadata.json", "model.weights.h5", "README.md"):
        assert f"zf_keras/models/vrnn/presets/vrnn_i_digits/{file}" in names
