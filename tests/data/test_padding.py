"""Sizes padded on JAX: few programs, and what is computed and drawn is as without padding."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import make, sequences
from tests.support import normal, padded_batch
from zf_keras import diagnostics
from zf_keras.data import padding
from zf_keras.data.padding import cut, drawn, padded_size, padded_time

on_jax = pytest.mark.skipif(keras.config.backend() != "jax", reason="TensorFlow takes every size by one program")


def test_few_sizes_near_to_those_asked_for(monkeypatch):
    monkeypatch.setattr(padding, "PADDED", True)
    sizes = np.array([padded_size(n) for n in range(1, 5000)])
    asked = np.arange(1, 5000)
    assert sorted(set(sizes[:64])) == [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    assert len(set(sizes[64:1024])) == 4 * 8
    assert (sizes >= asked).all() and (sizes[64:] <= 1.125 * asked[64:]).all() and (sizes[:64] < 1.5 * asked[:64]).all()
    assert [padded_size(n) for n in sizes.tolist()] == sizes.tolist()
    assert padded_size(784) == 832 and padded_size(0) == 0
    monkeypatch.setattr(padding, "PADDED", False)
    assert padded_size(5) == 5 and padded_time({"targets": np.zeros((2, 5))}, 5).keys() == {"targets"}


def test_padded_time(monkeypatch):
    monkeypatch.setattr(padding, "PADDED", True)
    data = {"targets": normal(2, 5, 3), "mask": np.array([[1] * 5, [1] * 2 + [0] * 3])}
    padded = padded_time(data, 5)
    np.testing.assert_array_equal(padded["targets"][:, :5], data["targets"])
    assert padded["mask"].tolist() == [[True] * 5 + [False], [True] * 2 + [False] * 4]
    # Of inputs alone, one step fewer is predicted. A mask is there also where no step is added: one program for both.
    assert padded_time({"inputs": normal(2, 6, 3)}, 5)["mask"].shape == (2, 7)
    assert padded_time({"targets": normal(2, 6)}, 6)["mask"].all()


def test_cut():
    x = ops.convert_to_tensor(normal(6, 2))
    np.testing.assert_array_equal(cut(x, 4), x[:4])
    assert cut(x, 6) is x


@on_jax
def test_the_numbers_drawn_are_those_without_padding():
    def draw(*shape):
        return keras.random.normal((*shape, 3), seed=5), keras.random.uniform((*shape, 2), seed=5)

    for noise, expected in zip(drawn(draw, 3, 5), draw(3, 5), strict=True):
        assert noise.shape[:2] == (3, 6) and not noise[:, 5:].any()
        np.testing.assert_array_equal(noise[:, :5], expected)


def of_prompts(model):
    """What comes after prompts, of sizes that are padded."""
    prompt = normal(3, 3, 3)
    return {
        "prompt": model.generate(3, 8, prompt=prompt[:1], seed=1),
        "forecast": model.forecast(prompt, 5, 3, seed=1, batch_size=5),
    }


def answers(model):
    """What a model says of sequences of sizes that are padded."""
    data, given = padded_batch(lengths=(5, 2, 1)), {"seed": 1, "verbose": 0}
    gaps = np.where(normal(3, 5, 3) > 1, np.nan, normal(3, 5, 3))
    return {
        **of_prompts(model),
        "loss_terms": model.loss_terms(data),
        "with noise": model.loss_terms({"inputs": normal(3, 6, 3)}, noise=normal(3, 5, model.noise_dim)),
        "iwae": model.log_likelihood(data, 2, batch_size=5, **given),
        "step_scores": model.step_scores(gaps, 3, **given),
        "encode": model.encode(data, **given),
        "generate": model.generate(3, 5, seed=1),
        "interpolate": model.interpolate(data["targets"][:1], data, 5, decode="sample", seed=1),
        "summary": diagnostics.summary(model, data, **given)["kl"],
    }


@on_jax
@pytest.mark.parametrize(("name", "asked"), [("rnn", of_prompts), ("srnn", answers)])
def test_padding_changes_nothing(name, asked, monkeypatch):
    padded = asked(make(name))
    monkeypatch.setattr(padding, "PADDED", False)
    for (key, actual), expected in zip(padded.items(), asked(make(name)).values(), strict=True):
        for a, b in zip(*map(keras.tree.flatten, (actual, expected)), strict=True):
            assert np.shape(a) == np.shape(b), key
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4, err_msg=key)


@pytest.fixture
def compilations():
    """A list that grows by each program that JAX compiles, small ones too."""
    from jax import monitoring

    found = []

    def listener(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    monitoring.register_event_duration_secs_listener(listener)
    yield found
    monitoring.unregister_event_duration_listener(listener)


@on_jax
def test_a_back_test_compiles_a_handful_of_programs():
    model, series = make("rnn"), sequences(count=3, time=40)
    for time in range(1, 41):
        paths = model.forecast(series[:, :time], horizon=1 + time % 4, num_samples=2, seed=0)
        assert paths.shape == (2, 3, 1 + time % 4, 3)
    programs = {method.__name__: len(each.compiled_for) for method, each in vars(model)["_programs"].items()}
    # Of prompts of 1, 2, 4, ..., 48 steps; of paths of 1, 2 and 4.
    assert programs == {"encoded_prompt": 10, "state_given_context": 10, "draw_frames": 3}


@on_jax
def test_sizes_like_those_before_compile_nothing(compilations):
    model, series = make("z_forcing"), sequences(count=6, time=24)

    def ask(count, time):
        x = series[:count, :time]
        model.forecast(x, horizon=time // 4, num_samples=2)
        model.generate(count, time)
        model.encode(x, verbose=0)
        model.log_likelihood(x, 2, verbose=0)
        model.step_scores(x, 2, verbose=0)
        model.loss_terms(x)

    ask(5, 23)
    assert compilations
    del compilations[:]
    ask(6, 22)
    ask(5, 22)
    assert not compilations
