"""Prompts: the state after padded ones is that at their last step; each goes on from there, and is encoded once."""

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


def without_chance(model, monkeypatch):
    """The model with the same noise in every step of every sequence, whatever its place in a batch is."""

    def noise(*shape):
        return ops.convert_to_tensor(np.broadcast_to(np.linspace(-0.5, 0.9, shape[-1], dtype="float32"), shape))

    head = model.head
    monkeypatch.setattr(model, "draw_noise", lambda count, time, _: noise(count, time, model.noise_dim))
    monkeypatch.setattr(
        head, "noise", lambda shape, _: (noise(*shape, head.normal_dim), 0.6 + 0.1 * noise(*shape, head.uniform_dim))
    )
    return model


@pytest.mark.parametrize(("name", "output"), [*((name, "gaussian") for name in NAMES), ("rnn", "categorical")])
def test_ragged_prompts_go_on_as_each_alone(name, output, monkeypatch):
    model, data = without_chance(make(name, output), monkeypatch), padded_batch(output, lengths=(4, 1, 1))
    paths = model.forecast(data["targets"], horizon=2, num_samples=2, mask=data["mask"])
    for length, rows in ((4, [0]), (1, [1, 2])):
        alone = model.forecast(data["targets"][rows, :length], horizon=2, num_samples=2)
        np.testing.assert_allclose(paths[:, rows], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "output"), [("z_forcing", "gaussian"), ("rnn", "categorical")])
def test_what_is_generated_follows_at_once_on_a_ragged_prompt(name, output, monkeypatch):
    model, data = without_chance(make(name, output), monkeypatch), padded_batch(output, lengths=(4, 1, 3))
    prompt, mask = data["targets"], data["mask"]
    paths = model.forecast(prompt, horizon=5, num_samples=1, mask=mask)[0]
    generated = model.generate(3, 6, prompt, mask=mask)
    assert generated.shape[:2] == (3, 6)
    for row, length in enumerate((4, 1, 3)):
        expected = np.concatenate([prompt[row, :length], paths[row, : 6 - length]])
        np.testing.assert_allclose(generated[row], expected, rtol=1e-4, atol=1e-5)
    # One prompt for all, of which but three steps are valid: 4 may be asked for.
    repeated = model.generate(2, 4, prompt[2:], mask=mask[2:])
    np.testing.assert_allclose(repeated, np.stack([generated[2, :4]] * 2), rtol=1e-4, atol=1e-5)


def test_a_mask_that_is_true_everywhere_changes_nothing():
    model, prompt = make("z_forcing"), sequences(count=2, time=4)
    plain, masked = (model.forecast(prompt, 2, 3, seed=0, mask=mask) for mask in (None, np.ones((2, 4), bool)))
    np.testing.assert_array_equal(plain, masked)
    # Steps that no row has are not computed.
    longer, mask = np.pad(prompt, ((0, 0), (0, 3), (0, 0)), constant_values=np.nan), np.arange(7) < [[4], [4]]
    np.testing.assert_array_equal(plain, model.forecast(longer, 2, 3, seed=0, mask=mask.astype("float32").tolist()))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 0, 1], [1, 1, 1]], "`mask` must be padded on the right.* Row 0"),
        ([[1, 1, 1], [0, 0, 0]], "Row 1 of `mask` has fewer valid steps"),
        ([[1, 1, 1]], r"`mask` must have the batch and time of the sequences, \(2, 3\).*\(1, 3\)"),
        (np.ones((2, 3, 1)), r"`mask` must have the batch and time"),
        ([[1, 1, 2], [1, 1, 1]], "`mask` must hold 0 and 1.*2"),
        (True, r"`mask` must have the batch and time"),
    ],
)
def test_masks_that_are_refused(mask, message, monkeypatch):
    model, prompt = make("rnn"), sequences(count=2, time=3)
    monkeypatch.setattr(prompts, "context_of_prompt", None)  # before anything is computed
    for ask in (lambda: model.forecast(prompt, 1, 1, mask=mask), lambda: model.generate(2, 9, prompt, mask=mask)):
        with pytest.raises(ValueError, match=f"`prompt`: {message}"):
            ask()
    with pytest.raises(ValueError, match="`mask` is of a `prompt`"):
        model.generate(2, 9, mask=mask)
