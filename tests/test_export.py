"""Exported models give what the model itself gives for the same noise, where there is no zf_keras."""

import functools
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sysconfig
import venv

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import NUM_CLASSES, make, sequences
from tests.support import normal
from zf_keras import RNN, STORN, DistributionHead, MixedHead, ZForcing, probability
from zf_keras.__main__ import main
from zf_keras.inference import generation, latents, prompts
from zf_keras.inference.likelihood import log_weight

#: Each kind of loop, every output.
CASES = {"rnn": "categorical", "vrnn": "gaussian_mixture", "srnn": "gaussian", "z_forcing": "bernoulli"}
#: ONNX and LiteRT hold the same endpoints: the other models, with tokens and with a mixture.
FILES = {"storn": "categorical", "variational_bilstm": "gaussian_mixture"}
TENSORFLOW = keras.config.backend() == "tensorflow"
if not TENSORFLOW:  # the same program makes all of it, in another process: one model shows that it does
    CASES = {"z_forcing": "bernoulli"}
K = 3


@keras.saving.register_keras_serializable("tests")
class LaplaceHead(DistributionHead):
    params_dim = property(lambda self: 2 * self.features)

    def distribution(self, params):
        mean, log_scale = ops.split(probability.float32(params), 2, axis=-1)
        return probability.tfd.Independent(probability.tfd.Laplace(mean, ops.exp(log_scale)), 1)

    def check_values(self, name, values):
        """Every number is accepted."""


def data_of(output, lengths):
    targets = sequences(output, len(lengths), max(lengths)).astype("int32" if output == "categorical" else "float32")
    return {"targets": targets, "mask": np.arange(max(lengths)) < np.array(lengths)[:, None]}


def noise_of(model, *shape):
    """What generation takes: the noise of latents and frames, and uniform numbers."""
    uniform = np.random.default_rng(1).uniform(size=(*shape, model.head.uniform_dim)).astype("float32")
    return normal(*shape, model.noise_dim + model.head.normal_dim), uniform


def named(state):
    return {f"state_{i}": ops.convert_to_numpy(x) for i, x in enumerate(keras.tree.flatten(state))}


def with_width(**arrays):
    return {name: x for name, x in arrays.items() if 0 not in np.shape(x)}


class Own:
    """What the model itself gives for given noise: by the methods that its public ones draw the noise for."""

    def __init__(self, model):
        self.model = model

    def elbo(self, data, noise):
        terms = self.model.loss_terms(data, noise)
        return -sum(ops.convert_to_numpy(terms[name]) for name in ("nll", "kl") if name in terms)

    def log_likelihood(self, data, noise):
        """noise: (batch, K, time, noise_dim)."""
        draws = [ops.convert_to_numpy(log_weight(self.model, data, noise[:, k])) for k in range(noise.shape[1])]
        return np.logaddexp.reduce(draws, axis=0) - np.log(len(draws))

    def generate(self, noise, uniform, temperature, prompt=None, prompt_noise=None):
        model, dim = self.model, self.model.noise_dim
        if prompt is None:
            start = prompts.Start(model.initial_state(len(noise)), model.start_frames(len(noise)))
        else:
            prompt = {"targets": prompt}
            start = prompts.Start(
                prompts.state_after(model, prompt, prompt_noise), **prompts.end_of_prompt(model, prompt)
            )
        frame_noise = (noise[..., dim:], uniform)
        temperature = ops.convert_to_tensor(temperature, "float32")
        drawn = generation.draw_frames(model, start, None, noise[..., :dim], frame_noise, temperature)
        return ops.convert_to_numpy(drawn)

    def steps(self, state, x, y, noise):
        """log p(y | state, x) for given latent noise, and the state after it."""
        state = keras.tree.pack_sequence_as(self.model.initial_state(1), list(state.values()))
        steps, state = self.model.step(self.model.step_weights(), state, self.model.embed(x), noise)
        return ops.convert_to_numpy(self.model.head.log_prob(steps.output, y)), named(state)


@pytest.fixture(scope="session")
def tensorflow_only(tmp_path_factory):
    """A Python of a virtual environment that holds TensorFlow and what it requires, and nothing else."""
    directory = tmp_path_factory.mktemp("tensorflow_only")
    venv.create(directory, symlinks=True)
    paths = {"base": str(directory), "platbase": str(directory)}
    site_packages = pathlib.Path(sysconfig.get_path("purelib", "venv", paths))
    required, names = ["tensorflow"], set()
    while required:
        name = required.pop()
        if name in names:
            continue
        names.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for requirement in distribution.requires or []:
            if "extra ==" not in requirement:
                required.append(re.match(r"[\w.-]+", requirement)[0])
        for part in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site_packages / part).exists():
                (site_packages / part).symlink_to(distribution.locate_file(part))
    return directory / "bin" / "python"


@pytest.fixture(scope="module")
def run_calls(tensorflow_only, tmp_path_factory):
    """Outputs of {(folder, call, endpoint): arguments}, by run_exported.py in a process without zf_keras."""
    directory = tmp_path_factory.mktemp("calls")
    command = [tensorflow_only, "-I", pathlib.Path(__file__).parent / "run_exported.py"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def run(calls):
        arrays = {}
        for (folder, call, endpoint), arguments in calls.items():
            flat = {}
            for name, value in arguments.items():
                flat |= {f"{name}/{key}": x for key, x in value.items()} if isinstance(value, dict) else {name: value}
            for name, value in flat.items():
                arrays[f"{folder}|{call}|{endpoint}|{name}"] = value
        np.savez(directory / "calls.npz", **arrays)
        process.stdin.write(f"{directory / 'calls.npz'}\t{directory / 'outputs.npz'}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n", (directory / "errors").read_text()[-3000:]
        with np.load(directory / "outputs.npz") as file:
            return {tuple(key.split("|")[1:]): file[key] for key in file}

    with (
        (directory / "errors").open("w") as errors,
        subprocess.Popen(command, stderr=errors, **pipes) as process,
    ):
        yield run


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """Of a name in `CASES`: the model, and the folder of its SavedModel."""

    @functools.cache
    def of(name):
        model = make(name, CASES[name], num_layers=1 + (name in ("vrnn", "srnn")))
        folder = str(tmp_path_factory.mktemp(name) / "exported")
        model.export(folder)
        return model, folder

    return of


@pytest.mark.parametrize("name", CASES)
def test_saved_model(name, saved_model, run_calls):
    output, (model, folder) = CASES[name], saved_model(name)
    own, expected, calls, dim = Own(model), {}, {}, model.noise_dim

    def call(label, endpoint, **arguments):
        calls[folder, label, endpoint] = with_width(**arguments)

    for lengths in ((5, 2, 4), (3, 8)):  # any batch size and length
        data, label = data_of(output, lengths), str(len(lengths))
        noise, draws = normal(*data["mask"].shape, dim), normal(len(lengths), K, max(lengths), dim)
        call(f"elbo{label}", "elbo", **data, noise=noise)
        expected[f"elbo{label}", ""] = own.elbo(data, noise)
        call(f"ll{label}", "log_likelihood", **data, noise=draws)
        expected[f"ll{label}", ""] = own.log_likelihood(data, draws)
        if dim:
            call(f"encode{label}", "encode", **data, noise=noise)
            encoding = latents.posterior(model, data, noise)
            expected |= {(f"encode{label}", key): x for key, x in zip(("mean", "sample"), encoding, strict=True)}
        noise, uniform = noise_of(model, len(lengths), max(lengths))
        sizes = {"batch_size": np.int32(len(lengths)), "length": np.int32(max(lengths)), "temperature": np.float32(0.7)}
        call(f"generate{label}", "generate", **sizes, noise=noise, uniform=uniform)
        expected[f"generate{label}", ""] = own.generate(noise, uniform, 0.7)
        prompt, prompt_noise = data["targets"][:, :3], normal(len(lengths), 3, dim, seed=2)
        continuation = {"prompt": prompt, "prompt_noise": prompt_noise, "noise": noise, "uniform": uniform}
        call(
            f"continue{label}",
            "continue_sequence",
            **continuation,
            horizon=np.int32(max(lengths)),
            temperature=np.float32(1.3),
        )
        expected[f"continue{label}", ""] = own.generate(noise, uniform, 1.3, prompt, prompt_noise)

    # One step: from the state after a prompt, a frame of it given.
    state = named(prompts.state_after(model, prompt, prompt_noise))
    call("after", "state_after", prompt=prompt, prompt_noise=prompt_noise)
    expected |= {("after", key): x for key, x in state.items()}
    x, y, noise = prompt[:, 2], data["targets"][:, 3], normal(2, dim, seed=3)
    call("score", "score_step", state=state, x=x, y=y, noise=noise)
    log_prob, after = own.steps(state, x, y, noise)
    expected["score", "log_prob"] = log_prob
    expected |= {("score", f"state{key}"): value for key, value in after.items()}

    # Without noise it is drawn, anew at each call; signatures too.
    call("first", "generate", batch_size=np.int32(2), length=np.int32(9))
    call("second", "generate", batch_size=np.int32(2), length=np.int32(9))
    same = np.repeat(data["targets"][:1], 1000, axis=0)
    call("signature", "signature elbo", targets=same, mask=np.ones(same.shape[:2], bool))
    call("served", "signature serving_default", targets=same, mask=np.ones(same.shape[:2], bool))
    call("many", "log_likelihood", targets=same, num_samples=np.int32(2))
    shape, few = data["targets"].shape, {"batch_size": np.int32(2), "length": np.int32(3)}
    noise, uniform = noise_of(model, 2, 5)
    wrong = {
        "no valid step": ("elbo", {"targets": data["targets"], "mask": np.zeros(shape[:2], bool)}),
        "no length": ("generate", few | {"length": np.int32(0)}),
        "no samples": ("log_likelihood", {"targets": data["targets"], "num_samples": np.int32(0)}),
        "cold": ("generate", few | {"temperature": np.float32(-1)}),
        "longer noise": ("generate", few | with_width(noise=noise, uniform=uniform)),
        "no steps": ("elbo", {"targets": data["targets"][:, :0]}),
    }
    if dim:
        wrong |= {
            "fewer rows": ("elbo", {"targets": data["targets"], "noise": normal(1, shape[1], dim)}),
            "nan noise": ("elbo", {"targets": data["targets"], "noise": np.nan * normal(*shape[:2], dim)}),
            "no draws": (
                "log_likelihood",
                {"targets": data["targets"], "noise": np.zeros((*shape[:1], 0, shape[1], dim), "f")},
            ),
            "no noise": ("elbo", {"targets": data["targets"], "noise": np.zeros((0, shape[1], dim), "f")}),
        }
    for label, (endpoint, arguments) in wrong.items():
        calls[folder, label, endpoint] = arguments
    call("nan state", "score_step", state={key: np.nan * value for key, value in state.items()}, x=x, y=y)
    call("hole", "elbo", targets=data["targets"], mask=~data["mask"])
    bad = data["targets"].copy()
    bad[1, 5] = NUM_CLASSES if output == "categorical" else np.nan
    call("bad", "elbo", targets=bad)
    call("bad but masked", "elbo", targets=bad, mask=np.arange(8) < np.array([[8], [5]]))
    found = run_calls(calls)

    tolerance = 1e-5 if TENSORFLOW else 1e-4
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=tolerance, atol=tolerance, err_msg=str(key))
    assert not np.array_equal(found["first", ""], found["second", ""])
    drawn = {
        ("served", "elbo"): own.elbo({"targets": same}, normal(1000, 8, dim, seed=5)),
        ("signature", "elbo"): own.elbo({"targets": same}, normal(1000, 8, dim, seed=4)),
        ("many", ""): model.log_likelihood(same, 2, seed=0, verbose=0),
    }
    for key, value in drawn.items():
        error = np.hypot(np.std(value), np.std(found[key])) / 1000**0.5
        np.testing.assert_allclose(np.mean(found[key]), np.mean(value), atol=5 * error + 1e-3, err_msg=str(key))
    for label, message in {
        "no valid step": "mask must have a valid step",
        "no length": "length must be at least 1",
        "no samples": "num_samples must be at least 1",
        "cold": "temperature must be > 0",
        "longer noise": "must be of the shape",
        "no steps": "targets must have at least one step",
        "fewer rows": "noise must be of the shape",
        "nan noise": "noise must be finite",
        "no draws": "noise must be of the shape",
        "no noise": "noise must be of the shape",
        "nan state": "state must be finite",
    }.items():
        if label in ("nan state", *wrong):
            assert message in str(found[label, ""]), label
    assert "mask must be padded on the right" in str(found["hole", ""])
    assert "targets must be" in str(found["bad", ""])
    assert np.isfinite(found["bad but masked", ""]).all()


on_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow makes and runs it whatever the backend")


@on_tensorflow
@pytest.mark.parametrize("name", FILES)
def test_onnx_and_litert(name, tmp_path):
    output = FILES[name]
    model = make(name, output)
    model.export(tmp_path / "onnx", format="onnx")
    model.export(tmp_path / "litert", format="litert")
    own, dim = Own(model), model.noise_dim

    run = functools.partial(run_onnx, tmp_path)
    data = data_of(output, (7, 3, 4))
    inputs = ops.convert_to_numpy(model.sequences(data).inputs)
    noise, draws = normal(3, 7, dim), normal(3, K, 7, dim)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    found = run("elbo", **data, inputs=inputs, noise=noise)["elbo"]
    np.testing.assert_allclose(found, own.elbo(data, noise), **tolerance)
    found = run("log_likelihood", **data, inputs=inputs, noise=draws)["log_likelihood"]
    np.testing.assert_allclose(found, own.log_likelihood(data, draws), **tolerance)
    if dim:
        found = run("encode", **data, inputs=inputs, noise=noise)
        for key, value in zip(("mean", "sample"), latents.posterior(model, data, noise), strict=True):
            np.testing.assert_allclose(found[key], value, **tolerance)

    check_steps(model, tmp_path, 0.7, tolerance)


@on_tensorflow
def test_columns_of_every_kind(tmp_path):
    """A mixed frame of outputs whose operations are the hardest to hold."""
    names = ("student_t", "truncated_gaussian", "zero_inflated_negative_binomial")
    model = RNN(3, MixedHead([(name, 1) for name in names]), seed=0)
    model.build((None, None, len(names)))
    model.export(tmp_path / "onnx", format="onnx")
    model.export(tmp_path / "litert", format="litert")
    own, tolerance = Own(model), {"rtol": 1e-4, "atol": 1e-4}
    data = {"targets": own.generate(*noise_of(model, 3, 5), 1.0), "mask": np.arange(5) < np.array([[5], [2], [4]])}
    expected = own.elbo(data, None)
    inputs = ops.convert_to_numpy(model.sequences(data).inputs)
    np.testing.assert_allclose(run_onnx(tmp_path, "elbo", **data, inputs=inputs)["elbo"], expected, **tolerance)
    # By LiteRT's own delegate the second step of this graph comes out wrong in about one interpreter of four.
    check_steps(model, tmp_path, 1.0, tolerance, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")


def run_onnx(path, endpoint, **inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path / "onnx" / f"{endpoint}.onnx")
    names = [x.name for x in session.get_outputs()]
    return dict(zip(names, session.run(None, with_width(**inputs)), strict=True))


def check_steps(model, path, temperature, tolerance, resolver="AUTO"):
    """Step by step, the files of ONNX and LiteRT are the model's own loop."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    noise, uniform = noise_of(model, 2, 6)
    expected = Own(model).generate(noise, uniform, temperature)
    file = path / "litert" / "generate_step.tflite"
    interpreter = Interpreter(str(file), experimental_op_resolver_type=OpResolverType[resolver])
    litert = interpreter.get_signature_runner()
    for step in (functools.partial(run_onnx, path, "generate_step"), lambda **given: litert(**given)):
        state, x = named(model.initial_state(2)), ops.convert_to_numpy(model.start_frames(2))
        for t in range(6):
            drawn = with_width(noise=noise[:, t], uniform=uniform[:, t], temperature=np.array(temperature, "float32"))
            out = step(**state, x=x, **drawn)
            np.testing.assert_allclose(out["y"], expected[:, t], **tolerance)
            state, x = {key: out[f"next_{key}"] for key in state}, out["y"]


@on_tensorflow
def test_particles_estimate_the_likelihood(saved_model):
    """The stream of the docs: the mean of the weights, particles drawn anew, is log p(y) in expectation."""
    import tensorflow as tf

    model, folder = saved_model("z_forcing")
    exported = tf.saved_model.load(folder)
    (y,), count = sequences(CASES["z_forcing"], count=1, time=6), 4000
    state, x, total = exported.initial_state(count), tf.zeros((count, 3)), 0.0
    for frame in y:
        frame = tf.repeat(frame[None], count, axis=0)
        out = exported.score_step(state, x, frame)
        log_weights = out["log_prob"]
        total += float(tf.reduce_logsumexp(log_weights)) - np.log(count)
        chosen = tf.random.categorical(log_weights[None], count, seed=0)[0]
        state, x = {key: tf.gather(value, chosen) for key, value in out["state"].items()}, frame
    exact = model.log_likelihood(y[None], 20_000, seed=0, batch_size=2000, verbose=0)[0]
    np.testing.assert_allclose(total, exact, atol=0.25)


@on_tensorflow
def test_exogenous_inputs_are_scored_and_nothing_is_generated(tmp_path):
    import tensorflow as tf

    model = STORN(4, 2, "gaussian", seed=0)
    data = {"inputs": normal(2, 5, 4), "targets": normal(2, 5, 3)}
    expected = -sum(
        ops.convert_to_numpy(model.loss_terms(data, noise := normal(2, 5, 2))[key]) for key in ("nll", "kl")
    )
    model.export(tmp_path / "exported")
    listed = json.loads((tmp_path / "exported" / "endpoints.json").read_text())["endpoints"]
    assert list(listed) == ["elbo", "log_likelihood", "step_scores", "encode", "initial_state", "score_step"]
    assert listed["elbo"]["inputs"]["targets"] == {"shape": [None, None, 3], "dtype": "float32"}
    assert listed["elbo"]["inputs"]["noise"] == {"shape": [None, None, 2], "dtype": "float32", "default": "drawn"}
    assert listed["elbo"]["outputs"] == {"elbo": {"shape": [None], "dtype": "float32"}}
    assert list(listed["score_step"]["outputs"]) == ["log_prob", "state_0", "state_1"]
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.elbo(**data, noise=noise), expected, rtol=1e-4)
    assert all(len(getattr(exported, name).concrete_functions) == 1 for name in listed)  # whatever is left out


@on_tensorflow
def test_a_model_fitted_on_inputs_of_its_own_is_exported_to_score_alone():
    from zf_keras.export.endpoints import endpoints

    model = make("rnn")
    assert "generate" in endpoints(model) and "inputs" in endpoints(model)["elbo"].left_out
    model.lagged = False
    assert list(endpoints(model)) == ["elbo", "log_likelihood", "step_scores", "initial_state", "score_step"]
    assert "inputs" not in endpoints(model)["elbo"].left_out


@on_tensorflow
def test_mixed_precision(tmp_path):
    import tensorflow as tf

    model = ZForcing(4, 2, "gaussian", beta=0, seed=0, dtype="mixed_bfloat16")
    data, noise = {"inputs": normal(2, 5, 4), "targets": normal(2, 5, 3)}, normal(2, 5, 2)
    model.build({"inputs": (None, None, 4), "targets": (None, None, 3)})
    model.export(tmp_path / "exported")
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(
        exported.elbo(**data, noise=noise), Own(model).elbo(data, ops.cast(noise, "bfloat16")), rtol=1e-3
    )
    with pytest.raises(ValueError, match=r"float32.*mixed_bfloat16"):
        model.export(tmp_path / "onnx", format="onnx")


def test_a_head_of_ones_own_is_held_by_a_saved_model_alone(tmp_path):
    """TFP draws its frames, in TensorFlow."""
    import tensorflow as tf

    model = STORN(4, 2, LaplaceHead(), seed=0)
    model.build((None, None, 3))
    for format in ("onnx", "litert"):
        with pytest.raises(ValueError, match=r"LaplaceHead.*Define its `draw`"):
            model.export(tmp_path / "exported", format=format)
    if not TENSORFLOW:
        return
    model.export(tmp_path / "exported")
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    data, noise = data_of("gaussian", (5, 5)), normal(2, 5, 2)
    np.testing.assert_allclose(exported.elbo(**data, noise=noise), Own(model).elbo(data, noise), rtol=1e-5)
    noise, uniform = noise_of(model, 4, 6)
    np.testing.assert_allclose(
        exported.generate(4, 6, 1.0, noise, uniform), Own(model).generate(noise, uniform, 1.0), rtol=1e-5
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be 1 for a LaplaceHead"):
        exported.generate(4, 6, 0.5, noise, uniform)


def test_the_command(tmp_path, capsys):
    model = make("rnn", "gaussian")
    model.save(tmp_path / "model.keras")
    arguments = ["export", str(tmp_path / "model.keras"), str(tmp_path / "exported"), "--format", "litert"]
    assert main(arguments) == 0
    files = {path.name for path in (tmp_path / "exported").iterdir()}
    assert files == {"endpoints.json", "generate_step.tflite", "score_step.tflite"}
    assert main(arguments) == 1
    assert "overwrite" in capsys.readouterr().err
    assert main([*arguments[:1], str(tmp_path / "nothing.keras"), *arguments[2:], "--overwrite"]) == 1
    assert "nothing.keras" in capsys.readouterr().err
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "plain.keras")
    assert main([*arguments[:1], str(tmp_path / "plain.keras"), *arguments[2:], "--overwrite"]) == 1
    assert "Sequential" in capsys.readouterr().err
    assert main([*arguments, "--import", "nowhere_to_be_found"]) == 1
    assert "nowhere_to_be_found" in capsys.readouterr().err
    (tmp_path / "exported" / "thesis.txt").write_text("all of it")
    assert main([*arguments, "--overwrite"]) == 1
    assert "thesis.txt" in capsys.readouterr().err
    (tmp_path / "exported" / "thesis.txt").unlink()
    assert main([*arguments, "--overwrite"]) == 0
    assert {path.name for path in (tmp_path / "exported").iterdir()} == files


@pytest.mark.skipif(TENSORFLOW, reason="of the process in which TensorFlow exports for another backend")
def test_what_the_other_process_is_asked_and_what_it_says(tmp_path, monkeypatch):
    model, asked = make("rnn"), []

    def run(command, error=None, **kwargs):
        asked.append((command, kwargs["env"]["KERAS_BACKEND"]))
        assert keras.saving.load_model(command[4]).units == model.units
        if error:
            (path,) = (part.partition("=")[2] for part in command if str(part).startswith("--error-file="))
            pathlib.Path(path).write_text(error, encoding="utf-8")
        return subprocess.CompletedProcess(command, 1, "", "the log")

    monkeypatch.setattr(subprocess, "run", functools.partial(run, error="ONNX has no ö"))
    with pytest.raises(ValueError, match=r"^ONNX has no ö$"):
        model.export(tmp_path / "exported", format="onnx")
    ((command, backend),) = asked
    assert command[1:4] == ["-m", "zf_keras", "export"] and command[6:8] == ["--format", "onnx"]
    assert backend == "tensorflow"
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match="ended with 1: the log"):
        model.export(tmp_path / "exported")
    assert not list(tmp_path.iterdir())


@on_tensorflow
def test_the_command_leaves_its_error_in_a_file(tmp_path):
    """For the process that started it."""
    error = tmp_path / "error.txt"
    assert main(["export", str(tmp_path / "nothing.keras"), str(tmp_path / "new"), f"--error-file={error}"]) == 1
    assert "nothing.keras" in error.read_text(encoding="utf-8")


def test_errors_come_before_anything_is_written(tmp_path, monkeypatch):
    model = make("rnn")
    with pytest.raises(ValueError, match="'savedmodel'"):
        model.export(tmp_path / "new", format="savedmodel")
    with pytest.raises(ValueError, match="not built"):
        ZForcing(4, 2, "gaussian").export(tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"thesis.txt: it is no export"):
            model.export(tmp_path / "mine", overwrite=overwrite)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tf2onnx" else True)
    with pytest.raises(ImportError, match=r"tf2onnx: pip install 'zf_keras\[onnx\]'"):
        model.export(tmp_path / "new", format="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
