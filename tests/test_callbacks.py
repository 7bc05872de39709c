"""Early stopping by the validation ELBO, while the KL weight rises and after."""

import types

import keras
import numpy as np
import pytest

from tests.support import normal
from zf_keras import RNN, STORN, ElboStopping, KLAnnealing

Schedule = keras.optimizers.schedules


def stopped_after(val_elbos, schedule=None, epochs=100, updates=10, **arguments):
    """How many epochs a fit with these validation ELBOs takes, and the epoch, from 1, whose weights it ends with."""
    weights = {"nll": 1.0, "kl": 1.0 if schedule is None else schedule}
    model = types.SimpleNamespace(loss_weights=weights, updates=0, stop_training=False, kept=None)
    model.get_weights = lambda: epoch + 1
    model.set_weights = lambda weights: setattr(model, "kept", weights)
    callback = ElboStopping(**arguments)
    callback.set_model(model)
    callback.set_params({"epochs": epochs, "verbose": 0, "steps": updates})
    callback.on_train_begin()
    for epoch, val_elbo in enumerate(val_elbos[:epochs]):
        callback.on_epoch_begin(epoch)
        model.updates += updates
        callback.on_epoch_end(epoch, {} if val_elbo is None else {"val_elbo": val_elbo})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, model.kept


FALLS = [-1.0, *range(-2, -30, -1)]
#: The weight is 1 from update 50 on: five epochs rise.
RISES = KLAnnealing(0.0, increment=0.02)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"patience": 1}, (2, 1)),
        ({"patience": 3}, (4, 1)),
        ({"patience": 3, "schedule": KLAnnealing(0.5, 0.0)}, (4, 1)),
        ({"patience": 1, "schedule": RISES}, (6, 1)),
        ({"patience": 3, "schedule": RISES}, (8, 1)),
        ({"patience": 3, "schedule": RISES, "updates": 50}, (4, 1)),  # the first epoch is the best, and not waited for
        # Not yet risen, though it does not change from epoch to epoch.
        ({"patience": 2, "schedule": Schedule.PiecewiseConstantDecay([45], [0.1, 1.0])}, (7, 1)),
        # It would rise after the end of this fit only.
        ({"patience": 2, "schedule": Schedule.PiecewiseConstantDecay([45], [0.1, 1.0]), "epochs": 4}, (3, 1)),
        # It never settles.
        ({"patience": 2, "schedule": KLAnnealing(0.0, increment=1e-3), "epochs": 20}, (20, 1)),
        # It rises too slowly to tell in an epoch.
        ({"patience": 3, "schedule": KLAnnealing(0.5, increment=4e-5), "epochs": 20}, (20, 1)),
        ({"patience": 3, "restore_best_weights": False}, (4, None)),
    ],
)
def test_epochs_while_the_weight_changes_do_not_count(arguments, expected):
    assert stopped_after(FALLS, **arguments) == expected


def test_the_best_epoch():
    """It may be one while the weight rises; a smaller gain than `min_delta` is none."""
    rises_then_falls = [-5.0, -3.0, -4.0, *FALLS[3:]]
    assert stopped_after(rises_then_falls, RISES, patience=2) == (7, 2)
    slowly = [-5.0 + 0.4 * i for i in range(20)]
    assert stopped_after(slowly, patience=2) == (20, 20)
    assert stopped_after(slowly, patience=2, min_delta=0.5) == (20, 19)
    assert stopped_after(slowly, patience=1, min_delta=0.5) == (2, 1)


def test_epochs_without_validation_and_not_a_number():
    assert stopped_after([None, -1.0, None, -2.0, None, -3.0, None], patience=2) == (6, 2)
    assert stopped_after([np.nan, -2.0, np.nan, np.nan, 0.0], patience=2) == (4, 2)


def fitted(callback):
    """A training whose KL weight is 0 for 15 updates, then rises to 1 in 6; two updates an epoch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(192, 2, 1)) * rng.normal(size=6) + 0.1 * rng.normal(size=(192, 2, 6))
    annealing = Schedule.PiecewiseConstantDecay([15, 17, 19, 21], [0.0, 0.25, 0.5, 0.75, 1.0])
    model = STORN(units=12, latent_dim=1, output="gaussian", kl_weight=annealing, seed=0)
    model.compile(optimizer=keras.optimizers.Adam(0.03))
    fit = {"validation_data": x[128:], "batch_size": 64, "shuffle": False, "verbose": 0, "callbacks": [callback]}
    return model, model.fit(x[:128], epochs=20, **fit).history["val_elbo"]


def test_a_real_training():
    """Patience for `val_loss` ends it while the weight rises: ten nats are not gained."""
    by_loss = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    _, stopped = fitted(by_loss)
    model, elbos = fitted(callback := ElboStopping(patience=2))
    assert len(stopped) < 11 < len(elbos)
    np.testing.assert_allclose(elbos[: len(stopped)], stopped, rtol=1e-3)
    best = elbos[callback.best_epoch]
    assert best == max(elbos) > stopped[by_loss.best_epoch] + 10
    assert int(model.updates) == 2 * (callback.best_epoch + 1)


def test_a_model_without_latents():
    """Weights that no update changes: the first epoch stays the best."""
    model, x = RNN(3, "gaussian", seed=0), normal(4, 5, 2)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(x, validation_split=0.5, epochs=9, verbose=0, callbacks=ElboStopping(patience=2)).history
    assert len(history["val_elbo"]) == 3


@pytest.mark.parametrize("listed", [lambda c: c, lambda c: [c], lambda c: keras.callbacks.CallbackList([c])])
def test_no_validation_data(listed):
    model = RNN(3, "gaussian")
    model.compile()
    with pytest.raises(ValueError, match="`ElboStopping` needs the validation ELBO: give `validation_data` or"):
        model.fit(normal(4, 5, 2), verbose=0, callbacks=listed(ElboStopping()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "`patience` must be a positive integer. Received: patience=0"),
        ({"min_delta": -0.1}, "`min_delta` must be a finite number >= 0"),
        ({"restore_best_weights": 1}, "`restore_best_weights` must be True or False"),
        ({"verbose": 2}, "`verbose` must be one of 0, 1. Received: verbose=2"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ElboStopping(**arguments)
