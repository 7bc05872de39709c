"""The three gradient modes train exactly the parameters that they should."""

import numpy as np
import pytest
from keras import ops

from tests.models.table import make, sequences
from tests.support import all_gradients, named_gradients, normal, path, total_loss

MODES = ("target", "strict", "detached")
BACKWARD = "backward_encoder/"


@pytest.fixture(scope="module", params=["z", "zh"])
def by_mode(request):
    """Gradients of each term's part of the loss, by mode and term."""
    result = {}
    noise = normal(6, 5, 2, seed=1)
    for mode in MODES:
        model = make("z_forcing", auxiliary_gradient=mode, auxiliary=request.param)
        losses = {term: lambda m=model, t=term: total_loss(m, sequences(), noise, (t,)) for term in model.loss_weights}
        for term, grads in all_gradients(losses, model.trainable_weights).items():
            result[mode, term] = dict(zip(map(path, model.trainable_weights), grads, strict=True))
    return result


def reached(gradients):
    return {name for name, gradient in gradients.items() if gradient.any()}


def test_auxiliary_cost(by_mode):
    everything = reached(by_mode["target", "aux_nll"])
    backward = {name for name in everything if name.startswith(BACKWARD)}
    assert len(backward) == 3
    for mode in MODES:
        trained = reached(by_mode[mode, "aux_nll"])
        assert trained == (everything if mode == "target" else everything - backward)
        untouched = ("head/", "backward_head/", "prior/")
        assert not any(name.startswith(untouched) for name in trained)
        assert any(name.startswith("auxiliary_decoder/") for name in trained)
        assert any(name.startswith("cell/posterior/") for name in trained)
        assert "cell/recurrent_kernel" in trained  # through h_{t-1}


def test_outside_the_backward_encoder_the_modes_agree(by_mode):
    for term in ("nll", "kl", "aux_nll", "backward_nll"):
        for name, gradient in by_mode["target", term].items():
            if not name.startswith(BACKWARD):
                for mode in MODES[1:]:
                    np.testing.assert_allclose(by_mode[mode, term][name], gradient, rtol=1e-4, atol=1e-6)


def test_bound(by_mode):
    for term in ("nll", "kl"):
        for mode in MODES:
            trained = {name for name in reached(by_mode[mode, term]) if name.startswith(BACKWARD)}
            assert len(trained) == (0 if mode == "detached" else 3)


def test_backward_output_trains_the_encoder_in_every_mode(by_mode):
    for mode in MODES:
        trained = reached(by_mode[mode, "backward_nll"])
        assert {name.split("/")[0] for name in trained} == {"backward_encoder", "backward_head"}


def test_the_target_is_stopped():
    """The gradient is that of a cost whose target is a constant."""
    model, data, noise = make("z_forcing"), sequences(), normal(6, 5, 2, seed=1)
    y = model.embed(model.sequences(data).targets)
    states = ops.convert_to_numpy(model.context(None, y, None, False))

    def with_constant_target():
        steps = model(data, noise=noise)
        cost = model.auxiliary_decoder.nll(model.auxiliary_decoder(steps.latent), states)
        return model.alpha * ops.mean(ops.sum(cost, axis=1))

    expected = named_gradients(with_constant_target, model)
    actual = named_gradients(lambda: total_loss(model, data, noise, ("aux_nll",)), model)
    for name, gradient in expected.items():
        np.testing.assert_allclose(actual[name], gradient, rtol=1e-4, atol=1e-6, err_msg=name)
