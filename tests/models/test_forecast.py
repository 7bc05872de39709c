"""Forecasts: what of a prompt depends on no latent is computed once, all else once a sample path."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, LATENT, make, sequences
from tests.support import normal
from zf_keras.inference import generation, prompts


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_a_context_that_is_repeated_is_that_of_repeated_prompts(name):
    model, rows = make(name), np.array([0, 1, 0, 1, 0])
    prompt = ops.convert_to_tensor(sequences(count=2))
    noise = ops.convert_to_tensor(normal(5, 5, model.noise_dim, seed=1))
    repeated = ops.take(prompt, rows, axis=0)
    context = keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), prompts.context_of_prompt(model, prompt))
    once = prompts.state_given_context(model, repeated, context, noise)
    for_each = prompts.state_after(model, repeated, noise)
    for a, b in zip(keras.tree.flatten(once), keras.tree.flatten(for_each), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["storn", "srnn", "z_forcing"])
def test_every_path_has_latents_of_its_own(name, monkeypatch):
    """The states after the prompt differ between the paths of one prompt."""
    assert name in LATENT
    states = []
    real = generation.draw_frames

    def draw_frames(model, start, *args):
        states.append(keras.tree.map_structure(np.asarray, start.state))
        return real(model, start, *args)

    monkeypatch.setattr(generation, "draw_frames", draw_frames)
    make(name).forecast(sequences(count=2), horizon=2, num_samples=3, seed=0)
    (state,) = states
    assert any(len(np.unique(part.round(6), axis=0)) == 6 for part in keras.tree.flatten(state))


@pytest.mark.parametrize("name", ["rnn", "z_forcing"])
def test_batches_of_paths(name):
    """Paths are in their places whatever `batch_size` is: each goes on near the prompt of its row."""
    model = make(name)
    prompt = sequences(count=3)
    for batch_size in (2, 5, 128):
        paths = model.forecast(prompt, horizon=2, num_samples=4, seed=0, batch_size=batch_size, temperature=1e-6)
        assert paths.shape == (4, 3, 2, 3)
        if name == "rnn":  # with no noise to speak of, the paths of a prompt are one
            np.testing.assert_allclose(paths, np.broadcast_to(paths[:1], paths.shape), atol=1e-4)
            alone = model.forecast(prompt[1:2], horizon=2, num_samples=1, seed=1, temperature=1e-6)
            np.testing.assert_allclose(paths[2, 1], alone[0, 0], atol=1e-4)
    with pytest.raises(ValueError, match="`batch_size`"):
        model.forecast(prompt, horizon=2, num_samples=4, batch_size=0)
