"""States after prompts: of padded ones, at the last valid step; each prompt encoded once."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, LATENT, MODELS_HERE, make, sequences
from tests.support import normal, padded_batch
from zf_keras.inference import prompts

#: Options with a state, or a context, of their own.
NAMES = [name for name in MODELS_HERE if name in (*EVERY_OUTPUT, "rnn_options", "vrnn_i", "srnn_options")]


@pytest.mark.parametrize("name", NAMES)
def test_the_state_after_a_padded_prompt_is_that_at_its_last_step(name):
    model, data, lengths = make(name), padded_batch(lengths=(5, 1, 1)), {5: [0], 1: [1, 2]}
    noise = normal(3, 5, model.noise_dim, seed=1)
    padded = keras.tree.flatten(prompts.state_after(model, data, noise))
    for length, rows in lengths.items():
        alone = prompts.state_after(model, data["targets"][rows, :length], noise[rows, :length])
        for a, b in zip(padded, keras.tree.flatten(alone), strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(a)[rows], b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rnn", "z_forcing"])
def test_each_prompt_is_encoded_once_and_no_batch_is_larger_than_asked_for(name, monkeypatch):
    model, sizes = make(name), {}

    def spied(owner, method, rows):
        real = getattr(owner, method)

        def call(*args, **kwargs):
            sizes.setdefault(method, []).append(rows(*args))
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, method, call)

    spied(model, "step", lambda weights, state, x, *_: x.shape[0])
    spied(prompts, "context_of_prompt", lambda model, prompt: len(prompt["targets"]))
    spied(prompts, "state_given_context", lambda model, prompt, *_: len(prompt["targets"]))
    paths = model.forecast(sequences(count=3, time=4), horizon=2, num_samples=7, batch_size=5, seed=0)
    assert paths.shape == (7, 3, 2, 3)
    (encoded,) = sizes["context_of_prompt"]
    assert 3 <= encoded <= 4  # four with padding
    assert max(sizes["step"]) <= 5
    # 21 paths, each with latents of its own; without any, the state too is computed once.
    assert sizes["state_given_context"] == ([5] * 5 if name in LATENT else [encoded])
