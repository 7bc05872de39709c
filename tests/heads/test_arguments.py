"""What a head is not made for is refused, with an error that names it."""

import keras
import numpy as np
import pytest

from zf_keras import (
    RNN,
    STORN,
    CategoricalHead,
    DistributionHead,
    GaussianHead,
    GaussianMixtureHead,
    ZForcing,
    probability,
)
from zf_keras.heads import get_head

X = np.linspace(-1, 1, 24, dtype="float32").reshape(2, 4, 3)


class Bare(DistributionHead):
    """Unit Gaussians by TFP: no more than a head must have, and less."""

    params_dim = property(lambda self: self.features)

    def distribution(self, params):
        tfd = probability.tfd
        return tfd.Independent(tfd.Normal(probability.float32(params), 1.0), 1)


class Checking(Bare):
    def check_values(self, name, values):
        if (values < -1).any():
            raise ValueError(f"`{name}` holds less than -1.")


@pytest.mark.parametrize(
    ("output", "arguments", "message"),
    [
        ("gauss", {}, "'gaussian', .*Received: output='gauss'"),
        (3, {}, "Received: output=3"),
        (["gaussian"], {}, "Received: output="),
        ("categorical", {}, "needs `num_classes`"),
        ("categorical", {"num_classes": 0}, "num_classes=0"),
        ("categorical", {"num_classes": 2.0}, "num_classes=2.0"),
        ("gaussian_mixture", {"num_components": -3}, "num_components=-3"),
        ("gaussian_mixture", {"num_components": True}, "num_components=True"),
        ("gaussian_mixture", {"num_classes": 3}, "`num_classes` must be left out with output='gaussian_mixture'"),
        ("gaussian", {"num_components": -3}, "num_components=-3"),
        ("gaussian", {"num_components": 20}, "`num_components` must be left out with output='gaussian'"),
        ("bernoulli", {"num_classes": 3}, "`num_classes` must be left out with output='bernoulli'"),
        (GaussianHead(), {"num_components": 20}, "`num_components` must be left out where `output` is a head"),
        (CategoricalHead(3), {"num_classes": 3}, "`num_classes` must be left out where"),
        (GaussianHead(), {"output_network": "mlp"}, "`output_network` must be left out where"),
        (GaussianHead(), {"hidden_units": 4}, "`hidden_units` must be left out where"),
    ],
)
def test_arguments_of_a_head(output, arguments, message):
    with pytest.raises(ValueError, match=message):
        RNN(4, output, **arguments)


def test_arguments_that_are_left_out():
    """A head instance is taken as it is; a model with latents has other networks for `hidden_units`."""
    head = GaussianMixtureHead(num_components=2, hidden_units=3)
    model = ZForcing(4, 2, head, hidden_units=6)
    assert get_head(head) is head and model.hidden_units == 6
    model.build((None, None, 3))
    assert (model.head.num_components, model.head.hidden_units, model.prior_network.hidden_units) == (2, 3, 6)


def test_defaults_of_named_heads():
    for cls, network in ((RNN, "mlp"), (STORN, "mlp"), (ZForcing, "linear")):
        size = {} if cls is RNN else {"latent_dim": 2}
        model = cls(4, output="gaussian_mixture", **size)
        model.build((None, None, 3))
        assert model.output_network == network and model.head.num_components == 20
        assert model.head.hidden_units == (4 if network == "mlp" else None)
        model = cls(4, output="gaussian_mixture", num_components=np.int64(3), output_network="linear", **size)
        model.build((None, None, 3))
        assert (model.head.num_components, model.head.hidden_units) == (3, None)
        assert type(model.num_components) is int


def test_a_head_alone_needs_its_features():
    for head in (GaussianHead(), GaussianMixtureHead()):
        with pytest.raises(ValueError, match=rf"`features` must be given .*{type(head).__name__}\(features=\.\.\.\)"):
            head(np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match="features=0"):
        GaussianHead(0)
    assert CategoricalHead(5)(np.zeros((2, 5, 4))).shape == (2, 5, 5)


def test_a_head_that_checks_nothing_accepts_nothing():
    model = RNN(2, Bare())
    with pytest.raises(NotImplementedError, match="Bare must define `check_values`"):
        model.log_likelihood(X)
    model = RNN(2, Checking())
    model.compile(optimizer="sgd")
    with pytest.raises(ValueError, match="less than -1"):
        model.fit(2 * X)


def test_what_a_head_does_not_define_is_named():
    params, values = np.zeros((2, 3), "float32"), np.ones((2, 3), "float32")
    head = Bare(3)
    np.testing.assert_allclose(head.mean(params), params)
    head.log_prob(params, values)
    for call in (head.check_observed, lambda: head.log_prob(params, values, values > 0)):
        with pytest.raises(NotImplementedError, match=r"Bare must define `log_prob\(params, values, observed=None\)`"):
            call()
    with pytest.raises(ValueError, match="A Bare has no scale"):
        head.at_scale(params, 0, 2)
    with pytest.raises(NotImplementedError, match="DistributionHead must define `distribution`"):
        DistributionHead(3).mean(params)


def test_a_head_that_does_not_temper_is_drawn_from_at_temperature_1():
    model = RNN(2, Checking(), seed=0)
    model.build((None, None, 3))
    assert np.isfinite(model.generate(2, 3, seed=0)).all() and np.isfinite(model.generate(2, 3, temperature=1)).all()
    message = "`temperature` must be 1 for a Checking.*Received: temperature=0.5"
    for call in (
        lambda: model.generate(1, 2, temperature=0.5),
        lambda: model.forecast(X, 1, 2, temperature=0.5),
        lambda: model.head.sample(np.zeros((2, 3), "float32"), 0, temperature=0.5),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    # A tensor's value may not be known yet: NaN rather than a draw at another temperature.
    params = np.zeros((2, 3), "float32")
    for temperature, finite in ((1.0, True), (0.5, False)):
        given = model.head.at_temperature(params, keras.ops.convert_to_tensor(temperature))
        assert np.isfinite(given).all() == finite
