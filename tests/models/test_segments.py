"""Training in segments beside training on whole sequences: the same terms and gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import NO_CHANCE, make
from tests.support import gradients, normal, padded_batch

# On JAX the loops are compiled anew for each model, at some seconds; those here have all there is in them.
CASES = {
    "rnn": {"num_layers": 2},
    "storn": {},
    "vrnn": {"num_layers": 2},
    "srnn": {},
    "z_forcing": {},
    "variational_bilstm": {},
}
if keras.config.backend() == "jax":
    CASES = {name: CASES[name] for name in ("rnn", "z_forcing")}


def pair(name, segment_length, **options):
    """A model, and the same in segments."""
    whole = make(name, **options)
    cut = make(name, **options, segment_length=segment_length)
    cut.set_weights(whole.get_weights())
    return whole, cut


def terms(model, data, noise):
    return model._sums(model(data, training=True, noise=ops.convert_to_tensor(noise)))


def total(model, data, noise):
    return sum(ops.sum(term) for term in terms(model, data, noise).values())


@pytest.mark.parametrize("name", CASES)
def test_terms_and_gradients(name):
    """Of 5 steps: a first segment of one, then two of two."""
    models = pair(name, 2, **CASES[name], **NO_CHANCE.get(name, {}))
    data, noise = padded_batch(), normal(3, 5, models[0].noise_dim, seed=1)
    expected, found = (terms(model, data, noise) for model in models)
    for term, values in expected.items():
        np.testing.assert_allclose(found[term], values, rtol=1e-6, atol=1e-6)
    derivatives = [gradients(lambda m=model: total(m, data, noise), model.trainable_weights) for model in models]
    for variable, a, b in zip(models[0].trainable_weights, *derivatives, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6 * np.abs(a).max(), err_msg=variable.path)
        assert a.any()


def test_what_is_drawn_is_drawn_again():
    """The gradient is that of the loss with the same dropout and the same skipped gradients."""
    model = make("variational_bilstm", dropout=0.3, num_layers=2, segment_length=2, skip_gradient=0)
    data, noise = padded_batch(), normal(3, 5, model.noise_dim, seed=1)
    state = np.asarray(model.seed_generator.state)

    def loss():
        model.seed_generator.state.assign(state)
        return total(model, data, noise)

    weights = model.trainable_weights
    values = [np.asarray(weight) for weight in weights]
    grads = gradients(loss, weights)
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    losses = []
    for sign in (1, -1):
        for weight, value, gradient in zip(weights, values, grads, strict=True):
            weight.assign(value + sign * 2e-3 * gradient / norm)
        losses.append(float(loss()))
    np.testing.assert_allclose((losses[0] - losses[1]) / 4e-3, norm, rtol=0.01)


def test_fit():
    """Sequences of several lengths, shorter than a segment and longer; validation takes them whole."""
    model = make("vrnn", segment_length=3)
    model.compile(optimizer="adam")
    batches = [{"targets": normal(2, time, 3)} for time in (2, 3, 7)]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        spec = {"targets": tf.TensorSpec((None, None, 3))}
        dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
        history = model.fit(dataset, verbose=0, validation_data=dataset)
    else:
        history = model.fit((batch for batch in batches[::2]), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("options", [{"bound": "fivo", "num_samples": 2}, {"bag_of_words": 0.1}])
def test_refused(options):
    output = "categorical" if "bag_of_words" in options else "gaussian"
    with pytest.raises(ValueError, match=f"`segment_length` is not for models with `{next(iter(options))}`"):
        make("vrnn", output, segment_length=4, **options)
