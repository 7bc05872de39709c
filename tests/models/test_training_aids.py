"""Stacked layers' dropout, word dropout, the bag-of-words cost, and the objective of several samples."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, NO_CHANCE, make, sequences
from tests.support import gradients, normal, padded_batch
from zf_keras import RNN, KLAnnealing, ZForcing


def loss_and_gradient(model, data, noise, seed=0):
    """The loss of a training step, and its gradient by one number a weight, with the same draws each time."""
    model.seed_generator.state.assign(np.full(2, seed))
    weights = model.trainable_weights

    def loss():
        return model.compute_loss(data, y_pred=model(data, training=True, noise=ops.convert_to_tensor(noise)))

    return float(loss()), gradients(loss, weights)


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_dropout(name):
    model, plain = (make(name, dropout=rate, num_layers=2) for rate in (0.5, 0.0))
    data, noise = sequences(), normal(6, 5, model.noise_dim, seed=1)
    outputs = [
        ops.convert_to_numpy(model(data, training=training, noise=noise).output) for training in (True, True, False)
    ]
    assert (outputs[0] != outputs[1]).all()
    expected = ops.convert_to_numpy(plain(data, noise=noise).output)
    np.testing.assert_allclose(outputs[2], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.generate(2, 4, seed=0), plain.generate(2, 4, seed=0))
    np.testing.assert_allclose(model.log_likelihood(data, seed=0), plain.log_likelihood(data, seed=0), rtol=1e-5)


def test_where_dropout_acts():
    """On x_t and y_t, kept ones scaled up, and between layers; not on what is scored."""
    model = make("rnn", dropout=0.25, num_layers=3)
    x = np.ones((40, 50, 3), "float32")
    dropped = ops.convert_to_numpy(model.drop(ops.convert_to_tensor(x), True))
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose((dropped == 0).mean(), 0.25, atol=0.02)
    read = []
    for i, layer in enumerate(model.lstm.layers):
        layer.call = lambda x, call=layer.call, i=i, **kwargs: read.append((i, ops.convert_to_numpy(x))) or call(x)
    model.lstm(ops.convert_to_tensor(x), training=True)
    assert not (read[0][1] == 0).any()  # the model has dropped them before
    for _, inputs in read[1:]:
        np.testing.assert_allclose((inputs == 0).mean(), 0.25, atol=0.02)


def test_the_first_layer_of_a_stochastic_recurrence_is_dropped_out_too():
    model = make("vrnn", dropout=0.5, num_layers=2)
    h = ops.ones((4, 5, 5))
    read = []
    model.upper.layers[0].call = lambda x, **kwargs: read.append(ops.convert_to_numpy(x)) or [x, x[:, 0], x[:, 0]]
    model.run_upper(h, True, model.upper.initial_state(4))
    assert set(np.unique(read[0])) == {0.0, 2.0}
    model.run_upper(h, False, model.upper.initial_state(4))
    assert set(np.unique(read[1])) == {1.0}


@pytest.mark.parametrize("unknown_token", [None, 6])
def test_word_dropout(unknown_token):
    model = make("rnn", "categorical", word_dropout=0.3, unknown_token=unknown_token, embedding_dim=4)
    tokens = np.full((100, 50), 2)
    embedded = ops.convert_to_numpy(model._embed_inputs(ops.convert_to_tensor(tokens), None, True))
    table = ops.convert_to_numpy(model.embedding.embeddings)
    hidden = np.zeros(4) if unknown_token is None else table[6]
    is_hidden, is_kept = (np.isclose(embedded, row).all(-1) for row in (hidden, table[2]))
    assert (is_hidden ^ is_kept).all()
    np.testing.assert_allclose(is_hidden.mean(), 0.3, atol=0.03)
    assert is_hidden.mean(0).std() > 0 and is_hidden.mean(1).std() > 0
    np.testing.assert_array_equal(model._embed_inputs(tokens, None, False), table[tokens])


@pytest.mark.parametrize("name", ["storn", "vrnn", "srnn", "z_forcing"])
def test_word_dropout_hides_nothing_from_the_posterior(name):
    """With all but no words left to the forward network, the posterior's side reads the targets as before."""
    plain, model = (make(name, "categorical", word_dropout=rate, num_layers=1) for rate in (0.0, 0.999999))
    read = {"storn": "recognition", "vrnn": "features_y", "srnn": "encoder", "z_forcing": "backward_encoder"}[name]
    seen = []
    for each in (plain, model):
        layer = getattr(each, read)
        layer.call = lambda x, *args, call=layer.call, **kwargs: (
            seen.append(ops.convert_to_numpy(x)) or call(x, *args, **kwargs)
        )
        each(sequences("categorical"), training=True)
    words = -7 if name != "vrnn" else None  # of SRNN the last of [d_t, y_t]
    # VRNN's layer reads the targets first, then the inputs.
    a, b = (x[..., words:] for x in (seen[0], seen[len(seen) // 2]))
    np.testing.assert_array_equal(a, b)
    assert a.any()


def test_bag_of_words_trains_the_latents():
    model, data = make("z_forcing_elbo", "categorical"), sequences("categorical")
    noise = normal(6, 5, 2)
    plain = loss_and_gradient(model, data, noise)[0]
    model = make("z_forcing_elbo", "categorical", bag_of_words=0.7)
    terms = model.loss_terms(data, noise=noise)
    loss, grads = loss_and_gradient(model, data, noise)
    assert "bow_nll" in model.metric_names() and np.isfinite(plain)
    np.testing.assert_allclose(loss, np.mean(terms["nll"] + terms["kl"] + 0.7 * terms["bow_nll"]), rtol=1e-5)
    assert all(gradient.any() for gradient in grads)


@pytest.mark.parametrize("name", [*EVERY_OUTPUT[1:], "vrnn_i"])
def test_the_objective_of_several_samples(name):
    """Loss and gradient are those of -log 1/K sum_k w_k, here from the terms of single draws."""
    K, kl_weight = 3, 0.6
    model = make(name, num_samples=K, kl_weight=kl_weight, free_nats=0.0, **NO_CHANCE.get(name, {}))
    data, noise = padded_batch(), normal(3 * K, 5, model.noise_dim, seed=1)
    repeated = {key: np.repeat(value, K, axis=0) for key, value in data.items()}
    loss, grads = loss_and_gradient(model, data, noise)

    def expected_loss():
        terms, weights = model.loss_terms(repeated, noise=noise), model.current_weights()
        log_w = ops.reshape(-terms["nll"] - kl_weight * terms["sampled_kl"], (-1, K))
        bound = ops.log(ops.mean(ops.exp(log_w), axis=1))
        others = sum(w * ops.mean(terms[t]) for t, w in weights.items() if t not in ("nll", "kl"))
        return others - ops.mean(bound)

    np.testing.assert_allclose(loss, float(expected_loss()), rtol=1e-4)
    for actual, expected in zip(grads, gradients(expected_loss, model.trainable_weights), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max() + 1e-7)


def test_the_bound_of_several_samples_in_fit():
    """Metrics stay those of the ELBO; validation is on one draw, on which the loss is theirs."""
    x = sequences(count=6)
    model = make("z_forcing_elbo", num_samples=5, kl_weight=KLAnnealing(0.5, 0.1))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    logs = model.fit(x, validation_data=x, batch_size=3, epochs=2, verbose=0).history
    assert int(model.updates) == 4
    assert set(logs) == {f"{p}{m}" for p in ("", "val_") for m in ("loss", "elbo", "nll", "kl", "kl_weight")}
    weighted = np.array(logs["nll"]) + np.array(logs["kl_weight"]) * np.array(logs["kl"])
    assert np.all(np.array(logs["loss"]) < weighted)
    weighted = np.array(logs["val_nll"]) + np.array(logs["val_kl_weight"]) * np.array(logs["val_kl"])
    np.testing.assert_allclose(logs["val_loss"], weighted, rtol=1e-5)
    assert model.predict(x, verbose=0).latent.shape == (6, 5, 2)
    assert model.encode(x).sample.shape == (6, 5, 2)


def test_arguments():
    for arguments, message in (
        ({"num_samples": 0}, "num_samples=0"),
        ({"num_samples": 2, "free_nats": 1.0}, "`free_nats`.*num_samples=2"),
        ({"bag_of_words": 0.1}, "`bag_of_words` needs a categorical output"),
        ({"bag_of_words": -1.0}, "bag_of_words=-1.0"),
        ({"word_dropout": 0.1}, "`word_dropout` needs a categorical output"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0"),
        ({"num_layers": 0}, "num_layers=0"),
    ):
        with pytest.raises(ValueError, match=message):
            ZForcing(4, 2, "gaussian", **arguments)
    with pytest.raises(ValueError, match=r"`unknown_token` must be a token.*unknown_token=9"):
        RNN(4, "categorical", num_classes=5, unknown_token=9)
