"""The skip gradient of VariationalBiLSTM: what is stopped, what is not, and for whom."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import FEATURES, make, sequences
from tests.support import all_gradients, gradients, normal, path, total_loss
from zf_keras.models.variational_bilstm.variational_bilstm import stop_gradient_where

NAME = "variational_bilstm"


def term_gradients(**kwargs):
    """Gradients of each term's part of the loss: term -> {path: array}."""
    model = make(NAME, **kwargs)
    noise = normal(6, 5, model.noise_dim, seed=1)
    losses = {term: lambda t=term: total_loss(model, sequences(), noise, (t,)) for term in model.loss_weights}
    names = [path(weight) for weight in model.trainable_weights]
    grads = all_gradients(losses, model.trainable_weights)
    return {term: dict(zip(names, values, strict=True)) for term, values in grads.items()}


def reached(grads):
    return {name.split("/")[0] for name, gradient in grads.items() if gradient.any()}


def test_with_probability_one_kl_and_auxiliary_terms_train_no_recurrent_unit():
    """Every path from prior and posterior into h_{t-1} and b_t is cut, and the targets are constants."""
    grads = term_gradients(skip_gradient=1, auxiliary_gradient="target")
    assert reached(grads["kl"]) == {"posterior", "prior"}
    assert reached(grads["aux_nll"]) == {"posterior", "auxiliary_decoder"}
    assert reached(grads["state_nll"]) == {"posterior", "state_decoder"}
    # What the recurrence makes of z_t and b_t trains everything but the backward LSTM, which the skip cuts off.
    assert reached(grads["nll"]) == {"posterior", "auxiliary_decoder", "cell", "head"}


def test_with_probability_zero_every_path_is_open():
    grads = term_gradients(skip_gradient=0, auxiliary_gradient="target")
    recurrent = {"cell", "backward_encoder"}
    assert reached(grads["kl"]) >= recurrent | {"auxiliary_decoder"}
    assert reached(grads["aux_nll"]) >= recurrent and reached(grads["state_nll"]) >= recurrent
    assert "backward_encoder" in reached(grads["nll"])


def test_targets_are_trained_by_default():
    full = term_gradients(skip_gradient=1)
    assert "backward_encoder" in reached(full["aux_nll"]) and "cell" in reached(full["state_nll"])


@pytest.mark.parametrize("skip_gradient", [0, 0.5, 1])
def test_values_do_not_change(skip_gradient):
    noise, x = normal(6, 5, 7, seed=1), sequences()
    expected = make(NAME, skip_gradient=0).loss_terms(x, noise=noise)
    for name, term in make(NAME, skip_gradient=skip_gradient).loss_terms(x, noise=noise).items():
        np.testing.assert_allclose(term, expected[name], rtol=1e-6)


def frame_gradients(mask):
    """d (KL of the last step) / d (frames), with the gradient stopped where `mask` (batch, time, 1) says."""
    model = make(NAME, auxiliary_gradient="target")
    model._skip = lambda shape, training: mask if mask is None else ops.convert_to_tensor(mask)
    frames, noise = keras.Variable(normal(3, 5, FEATURES)), normal(3, 5, model.noise_dim, seed=1)

    def last_kl():
        sequences_ = model.sequences(frames + 0.0)
        x, y = (model.embed(x) for x in (sequences_.inputs, sequences_.targets))
        context = model.context(x, y, None, True)
        steps, _ = model.infer(x, context, sequences_, ops.convert_to_tensor(noise), True)
        return ops.sum(steps.posterior.kl(steps.prior)[:, -1])

    return gradients(last_kl, [frames])[0]


def test_the_mask_differs_by_example_and_step():
    """Of the KL of step 5: with step 5 stopped no frame is reached; with steps before stopped, those only through
    the recurrence of h are.
    """
    nowhere, everywhere = frame_gradients(None), frame_gradients(np.ones((3, 5, 1), "float32"))
    assert np.abs(nowhere).max(-1).all()  # y_5 by b_5, the others by h_4
    assert not everywhere.any()
    mask = np.zeros((3, 5, 1), "float32")
    mask[1, 4] = mask[2, 2] = 1
    some = frame_gradients(mask)
    np.testing.assert_allclose(some[0], nowhere[0], rtol=1e-5, atol=1e-7)
    assert not some[1].any()
    # Row 2: y_5 is still read by b_5, but by way of z_3 no longer; x_5 = y_4 by h_4 as before.
    assert np.abs(some[2]).max(-1).all() and np.abs(some[2] - nowhere[2]).max() > 1e-6


def test_the_drawn_mask():
    model = make(NAME, skip_gradient=0.3)
    mask = ops.convert_to_numpy(model._skip((200, 50), True))
    assert mask.shape == (200, 50, 1) and set(np.unique(mask)) == {0, 1}
    np.testing.assert_allclose(mask.mean(), 0.3, atol=5 * np.sqrt(0.21 / mask.size))
    for axis in (0, 1):  # by example, by step: neither all alike
        shares = mask.mean(axis=axis)
        assert shares.std() > 0 and np.all(shares < 1)
        np.testing.assert_allclose(shares.var(), 0.21 / mask.shape[axis], rtol=0.6)
    assert (ops.convert_to_numpy(model._skip((200, 50), True)) != mask).any()
    assert model._skip((2, 5), False) is None  # nothing is trained
    assert np.all(make(NAME, skip_gradient=1)._skip((2, 5), True) == 1)
    assert make(NAME, skip_gradient=0)._skip((2, 5), True) is None


def test_stop_gradient_where():
    x = keras.Variable(np.ones((2, 3), "float32"))
    where = np.array([[True], [False]])
    (gradient,) = gradients(lambda: ops.sum(stop_gradient_where(x + 0.0, ops.convert_to_tensor(where))), [x])
    np.testing.assert_array_equal(gradient, [[0, 0, 0], [1, 1, 1]])
