"""Bad arguments and bad data get an error that names what is wrong, before anything is computed."""

import numpy as np
import pytest

from tests.models.table import make, sequences
from zf_keras import RNN, ZForcing

NAN = np.where(np.arange(30).reshape(2, 5, 3) == 7, np.nan, 0.0)
X = sequences(count=2)
BITS = sequences("bernoulli", 2)
TOKENS = sequences("categorical", 2)
MASK = np.arange(5) < np.array([[5], [3]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
        ({"units": 2.5}, "units=2.5"),
        ({"latent_dim": -1}, "latent_dim=-1"),
        ({"hidden_units": 0}, "hidden_units=0"),
        ({"alpha": -0.1}, "`alpha` must be a finite number >= 0. Received: alpha=-0.1"),
        ({"beta": float("nan")}, "beta=nan"),
        ({"kl_weight": -1.0}, "kl_weight=-1.0"),
        ({"free_nats": -1.0}, "free_nats=-1.0"),
        ({"clip": 0.0}, "clip=0.0"),
        ({"output": "gausian"}, "`output` must be one of .*'gaussian', .*Received: output='gausian'"),
        ({"output": "categorical"}, "num_classes"),
        ({"output": "categorical", "num_classes": 3, "start_token": 3}, "start_token=3"),
        ({"output": "gaussian_mixture", "num_components": 0}, "num_components=0"),
        ({"auxiliary": "h"}, "`auxiliary` must be one of 'z', 'zh'"),
        ({"auxiliary_cost": "l1"}, "auxiliary_cost='l1'"),
        ({"auxiliary_gradient": "all"}, "'target', 'strict', 'detached'"),
        ({"output_network": "deep"}, "output_network='deep'"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
    ],
)
def test_constructor(arguments, message):
    with pytest.raises(ValueError, match=message):
        model = ZForcing(**{"units": 4, "latent_dim": 2, "output": "gaussian", **arguments})
        model.build((None, None, 3))


@pytest.mark.parametrize(
    ("output", "data", "message"),
    [
        (
            "gaussian",
            X[0],
            r"`targets` must have 3 axes, \(batch, time, features\). Received: shape=\(5, 3\)",
        ),
        ("categorical", X, r"`targets` must have 2 axes, \(batch, time\)"),
        ("gaussian", X[..., :2], r"must have 3 features.*\(2, 5, 2\)"),
        ("gaussian", X[:0], r"`targets` is empty. Received: shape=\(0, 5, 3\)"),
        ("gaussian", X[:, :0], "is empty"),
        ("gaussian", NAN, r"`targets` holds nan at index \(0, 2, 1\)"),
        ("gaussian", {"inputs": X, "targets": X + np.inf}, "`targets` holds inf"),
        ("gaussian", {"inputs": X + np.inf, "targets": X}, "`inputs` holds inf"),
        ("gaussian", {"targets": NAN, "mask": MASK}, r"index \(0, 2, 1\)"),
        ("gaussian", {"inputs": X[:, 1:], "targets": X}, "same batch and time"),
        ("gaussian", {"inputs": X[:, :1]}, "at least 2 steps"),
        ("gaussian", {"target": X}, "Received the key 'target'"),
        ("gaussian", {"mask": MASK}, "needs `targets` or `inputs`"),
        (
            "gaussian",
            {"targets": X, "mask": MASK[:, 1:]},
            r"`mask` must have .*\(2, 5\). Received: shape=\(2, 4\)",
        ),
        ("gaussian", {"targets": X, "mask": MASK[..., None]}, "`mask` must have"),
        ("gaussian", {"targets": X, "mask": MASK[:, ::-1]}, "padded on the right.*Row 1"),
        ("gaussian", {"targets": X, "mask": MASK * 0.5}, "0 and 1.*0.5"),
        ("gaussian", {"targets": X, "mask": MASK & [[True], [False]]}, "Row 1 of `mask`"),
        (
            "gaussian",
            {"inputs": X, "mask": np.arange(5) < np.array([[5], [1]])},
            "Row 1.*fewer valid steps than the 2",
        ),
        ("gaussian", np.array([["a"]]), "real numbers"),
        ("gaussian", [[[1.0]], [[1.0], [2.0]]], "Data must be an array"),
        ("gaussian", {"targets": [[[1.0]], [[1.0], [2.0]]]}, "pad sequences"),
        ("bernoulli", BITS * 0.5, "bernoulli output needs `targets` of 0 and 1. Received the value 0.5"),
        (
            "bernoulli",
            {"inputs": BITS * 255, "targets": BITS},
            "`inputs` of 0 and 1. Received the value 255.0",
        ),
        (
            "categorical",
            TOKENS + 7,
            r"`targets` holds the token \d+, which is outside \[0, num_classes\) = \[0, 7\)",
        ),
        ("categorical", TOKENS - 7, "holds the token -"),
        ("categorical", {"inputs": TOKENS + 7, "targets": TOKENS}, "`inputs` holds the token"),
        ("categorical", TOKENS * 1.0, "integer token ids. Received: dtype=float64"),
    ],
)
def test_data(output, data, message):
    model = make("z_forcing", output)
    model.compile(optimizer="adam")
    for call in (
        model.fit,
        model.evaluate,
        model.predict,
        model.log_likelihood,
        model.encode,
        model.loss_terms,
    ):
        with pytest.raises(ValueError, match=message):
            call(data)
    with pytest.raises(ValueError, match=message):
        model.fit(sequences(output), validation_data=data)
    assert int(model.updates) == 0  # no step was taken


def test_unbuilt_models_say_the_same():
    for model in (ZForcing(4, 2, "gaussian"), RNN(4, "gaussian")):
        model.compile(optimizer="adam")
        with pytest.raises(ValueError, match="3 axes"):
            model.fit(X[0])
        with pytest.raises(ValueError, match="3 axes"):
            model.build((None, 3))


def test_noise():
    with pytest.raises(ValueError, match=r"`noise` must be of shape \(2, 5, 2\). Received: shape=\(2, 5, 3\)"):
        make("z_forcing").loss_terms(X, noise=np.zeros((2, 5, 3), "float32"))


def test_features_that_differ():
    for arguments in ({"beta": 0.1}, {"beta": 0.0, "embedding_dim": 4}):
        with pytest.raises(ValueError, match=r"same features.*3 and 2"):
            ZForcing(4, 2, "gaussian", **arguments).build({"inputs": (None, None, 3), "targets": (None, None, 2)})
    model = ZForcing(4, 2, "bernoulli", beta=0.0)
    model.compile(optimizer="adam")
    model.fit({"inputs": X, "targets": BITS[..., :2]}, verbose=0)  # exogenous, real-valued inputs


def test_likelihood_arguments():
    model = make("z_forcing")
    for name in ("num_samples", "batch_size"):
        with pytest.raises(ValueError, match=name):
            model.log_likelihood(X, **{name: 0})
    with pytest.raises(ValueError, match="array or a dict"):
        model.log_likelihood([X])
