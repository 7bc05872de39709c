"""fit: data of every kind, metrics, schedules, resuming, precision, and learning."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import MODELS, MODELS_HERE, PAIRS_HERE, make, sequences
from tests.support import normal, padded_batch, path
from zf_keras import RNN, KLAnnealing, ZForcing, datasets


def history(model, *args, **kwargs):
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model.fit(*args, verbose=0, **kwargs).history


@pytest.mark.parametrize(("name", "output"), PAIRS_HERE)
def test_loss_is_the_weighted_sum_of_the_metrics(name, output):
    kwargs = {} if name.startswith("rnn") else {"kl_weight": KLAnnealing(0.1, 0.2, 1.0)}
    model = make(name, output, **kwargs)
    count = 6 if name == "rnn" else 4  # with a last batch that is smaller, which is one more program to compile
    logs = history(model, sequences(output, count), validation_data=padded_batch(output), batch_size=4)
    for prefix in ("", "val_"):
        log = {k.removeprefix(prefix): v[-1] for k, v in logs.items() if k.startswith("val_") == bool(prefix)}
        assert set(log) == {"loss", *model.metric_names()}
        weights = dict(model.current_weights())
        if "kl_weight" in log:
            weights["kl_cost" if "kl_cost" in log else "kl"] = log["kl_weight"]
        expected = sum(w * log[n] for n, w in weights.items())
        np.testing.assert_allclose(log["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(log["elbo"], -(log["nll"] + log.get("kl", 0.0)), rtol=1e-5)


def test_evaluate_gives_the_means_of_the_terms():
    model, data = make("z_forcing"), padded_batch()
    model.compile()
    model.seed_generator.state.assign(np.zeros(2))
    logs = model.evaluate(data, verbose=0, return_dict=True)
    model.seed_generator.state.assign(np.zeros(2))  # the same draw
    for name, term in model.loss_terms(data).items():
        np.testing.assert_allclose(logs[name], np.mean(term), rtol=1e-5, err_msg=name)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, **kwargs):
        super().__init__(**kwargs)
        self.x = x

    def __len__(self):
        return len(self.x) // 2

    def __getitem__(self, index):
        return (self.x[2 * index : 2 * index + 2],)


def streams(x):
    def generator():
        while True:
            yield from ((x[i : i + 2],) for i in range(0, len(x), 2))

    yield "generator", generator()
    yield "PyDataset", Batches(x)
    tf = pytest.importorskip("tensorflow")
    yield "tf.data", tf.data.Dataset.from_tensor_slices(x).batch(2)
    yield "tf.data of dicts", tf.data.Dataset.from_tensor_slices({"targets": x}).batch(2)
    grain = pytest.importorskip("grain")
    yield "grain", grain.MapDataset.source(x).batch(2)
    yield "grain iterator", grain.MapDataset.source(x).to_iter_dataset().batch(2)
    yield (
        "grain loader",
        grain.DataLoader(
            data_source=x,
            sampler=grain.samplers.SequentialSampler(len(x)),
            operations=[grain.transforms.Batch(2)],
        ),
    )


@pytest.fixture(scope="module")
def still():
    """A model whose weights do not move, so that one serves for all the data."""
    model = make("z_forcing", "bernoulli")
    model.compile(optimizer=keras.optimizers.SGD(0.0))

    def loss(data, **kwargs):
        model.seed_generator.state.assign(np.zeros(2))
        return model.fit(data, verbose=0, shuffle=False, **kwargs).history["loss"][0]

    return loss


def test_data_of_every_kind(still):
    x = sequences("bernoulli", 6)
    expected = still(x, batch_size=2)
    for kind, stream in streams(x):
        loss = still(stream, steps_per_epoch=3 if kind == "generator" else None)
        np.testing.assert_allclose(loss, expected, rtol=1e-5, err_msg=kind)
    for data in (
        {"targets": x, "mask": np.ones((6, 5), bool)},
        {"targets": x.astype("uint8")},
        x.astype(bool),
    ):
        np.testing.assert_allclose(still(data, batch_size=2), expected, rtol=1e-5)


def test_every_batch_of_a_stream_is_checked(still, monkeypatch):
    # What processes make is read as of threads here: a fork beside JAX may hang.
    monkeypatch.setattr("keras.src.trainers.data_adapters.py_dataset_adapter._FORCE_THREADPOOL", True)
    x = sequences("bernoulli", 6)
    x[5, 1, 2] = 0.5
    for kind, stream in streams(x):
        if kind == "grain loader":  # it cannot be wrapped: its first batch is what is checked
            continue
        with pytest.raises(Exception, match=r"Received the value 0\.5"):
            still(stream, steps_per_epoch=3)
    x[0, 0, 0] = np.nan
    for loader in (dict(streams(x))["grain loader"], Batches(x, workers=2, use_multiprocessing=True)):
        with pytest.raises(ValueError, match="nan"):
            still(loader)


def test_kl_annealing_over_updates():
    schedule = KLAnnealing(0.2, 0.1, 0.75)
    weights = [float(schedule(n)) for n in range(8)]
    np.testing.assert_allclose(weights, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.75], rtol=1e-6)
    np.testing.assert_allclose([float(KLAnnealing()(n)) for n in (0, 8000, 16000, 10**6)], [0.2, 0.6, 1, 1], rtol=1e-6)
    model = make("z_forcing", kl_weight=schedule)
    logs = history(model, sequences(count=4), batch_size=2, epochs=3, validation_data=sequences(count=2))
    assert int(model.updates) == 6  # validation does not count
    np.testing.assert_allclose(logs["val_kl_weight"], [0.4, 0.6, 0.75], rtol=1e-5)
    for logged, (low, high) in zip(logs["kl_weight"], [(0.2, 0.3), (0.4, 0.5), (0.6, 0.7)], strict=True):
        assert low <= logged <= high


@pytest.mark.parametrize("free_nats", [0.0, 0.4])
def test_free_nats(free_nats):
    model = make("z_forcing", free_nats=free_nats)
    data, noise = padded_batch(), normal(3, 5, 2)
    steps = model(data, noise=noise)
    kl = ops.convert_to_numpy(steps.posterior.kl(steps.prior))
    assert (kl[data["mask"]] > 0.4).any() and (kl[data["mask"]] < 0.4).any()
    terms = model.loss_terms(data, noise=noise)
    np.testing.assert_allclose(terms["kl"], (kl * data["mask"]).sum(1), rtol=1e-5)
    if free_nats:
        np.testing.assert_allclose(terms["kl_cost"], (np.maximum(kl, 0.4) * data["mask"]).sum(1), rtol=1e-5)
        assert model.loss_weights["kl_cost"] == 1 and model.loss_weights["kl"] == 0
    else:
        assert "kl_cost" not in terms


def state(model):
    weights = {path(w): np.asarray(w) for w in model.weights}
    optimizer = {w.path: np.asarray(w) for w in model.optimizer.variables}
    return {**weights, **optimizer, "noise": np.asarray(model.seed_generator.state)}


# Two kinds of loop, with a forward and a backward recurrence.
@pytest.mark.parametrize("name", ["srnn", "z_forcing"])
def test_two_and_two_epochs_are_four(name, tmp_path):
    x = sequences(count=6)
    kwargs = {"kl_weight": KLAnnealing(0.1, 0.05)}
    fit = {"batch_size": 2, "shuffle": False, "verbose": 0, "validation_data": x[:2]}
    whole, parts = (make(name, **kwargs) for _ in "ab")
    for model in (whole, parts):
        model.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = whole.fit(x, epochs=4, **fit).history["loss"]
    first = parts.fit(x, epochs=2, **fit).history["loss"]
    parts.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    second = restored.fit(x, epochs=2, **fit).history["loss"]
    np.testing.assert_array_equal(losses, first + second)
    expected, actual = state(whole), state(restored)
    assert len(expected) == len(actual)
    for (key, a), b in zip(expected.items(), actual.values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=key)
    np.testing.assert_array_equal(whole.generate(2, 4), restored.generate(2, 4))


@pytest.mark.parametrize("name", MODELS_HERE)
def test_reload_equals_original(name, tmp_path):
    model, data = make(name), sequences()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.get_config() == model.get_config()
    for a, b in zip(
        keras.tree.flatten(model.predict(data, verbose=0)),
        keras.tree.flatten(restored.predict(data, verbose=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_reload_a_head_instance_and_a_schedule(tmp_path):
    from zf_keras import GaussianMixtureHead

    model = ZForcing(4, 2, GaussianMixtureHead(num_components=2, hidden_units=3), kl_weight=KLAnnealing(0.3), seed=0)
    model.build((None, None, 3))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.log_likelihood(sequences()), model.log_likelihood(sequences()))
    assert float(restored.current_weights()["kl"]) == pytest.approx(0.3)


def test_weights_file(tmp_path):
    model, other = make("z_forcing"), make("z_forcing", random=False)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(model.log_likelihood(sequences()), other.log_likelihood(sequences()))


@pytest.mark.parametrize("name", MODELS_HERE)
def test_mixed_bfloat16(name):
    full, mixed = make(name), make(name, dtype="mixed_bfloat16")
    data = {"targets": normal(16, 10, 3), "mask": np.arange(10) < np.arange(3, 19)[:, None]}
    noise = normal(16, 10, full.noise_dim, seed=1)
    for term, value in full.loss_terms(data, noise=noise).items():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        np.testing.assert_allclose(np.mean(mixed.loss_terms(data, noise=noise)[term]), np.mean(value), rtol=0.01)
    assert np.isfinite(mixed.generate(2, 3)).all() and np.isfinite(mixed.log_likelihood(data, 3)).all()
    if name not in ("rnn", "vrnn", "z_forcing"):  # by each kind of loop
        return
    for model in (full, mixed):
        model.seed_generator.state.assign(np.zeros(2))
    losses = [history(model, data, epochs=3, shuffle=False)["loss"] for model in (full, mixed)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert losses[1][2] < losses[1][0]


def test_only_x():
    model, x = make("rnn"), sequences(count=4)
    model.compile()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`y`"):
            call(x, x)
        with pytest.raises(ValueError, match="`sample_weight`"):
            call(x, sample_weight=np.ones(4))
    with pytest.raises(ValueError, match="`y`"):
        model.fit(x, validation_data=(x, x))
    with pytest.raises(ValueError, match="`y`"):
        model.train_on_batch(x, x)


def test_validation_split_and_lengths_that_differ_by_batch():
    model = make("z_forcing", "bernoulli")
    assert "val_elbo" in history(model, sequences("bernoulli", 8), validation_split=0.5)
    assert np.isfinite(history(model, sequences("bernoulli", 4, time=9))["loss"]).all()
    assert np.isfinite(history(model, sequences("bernoulli", 4, time=1))["loss"]).all()


# The loops compute the same on both backends (test_backends.py): half of the models learn on each.
LEARNING = {"tensorflow": ["rnn", "vrnn", "z_forcing"], "jax": ["storn", "srnn", "variational_bilstm"]}


@pytest.mark.parametrize("name", LEARNING[keras.config.backend()])
def test_learns_the_digits(name):
    """A short run gains what a broken term would not: independent pixels of the right frequency give 36.9 nats."""
    data = datasets.digits.load_data(frames="rows")
    keras.utils.set_random_seed(0)
    cls, arguments = MODELS[name]
    arguments = {**arguments, "units": 64, "hidden_units": 64, "output": "bernoulli", "seed": 0}
    if cls is not RNN:
        arguments |= {"latent_dim": 8}
    if "alpha" in arguments:
        arguments |= {"alpha": 0.0005, "beta": 0.0005 * (arguments["beta"] > 0)}
    model = cls(**arguments)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    logs = model.fit(data.train, validation_data=data.valid, epochs=5, batch_size=32, verbose=0).history
    assert logs["val_elbo"][-1] > -24.0
    assert logs["val_elbo"][-1] > logs["val_elbo"][0] + 4
