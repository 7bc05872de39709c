"""Models, optimizers and schedules of recipes."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.zoo.written import PLAIN, load, without
from zf_keras import DividedAfter, KLAnnealing, Scaling
from zf_keras.datasets import digits
from zoo import components


@pytest.mark.parametrize(
    ("kl_weight", "expected"),
    [
        ("{ initial = 0.2, epochs = 4 }", {0: 0.2, 1: 0.22, 10: 0.4, 39: 0.98, 40: 1, 41: 1, 10**4: 1}),
        ("{ initial = 0, epochs = 1 }", {0: 0, 5: 0.5, 10: 1}),
        ("{ initial = 0.2, increment = 0.05 }", {0: 0.2, 1: 0.25, 10: 0.7, 16: 1, 17: 1}),
    ],
)
def test_kl_weight(tmp_path, kl_weight, expected):
    recipe = load(tmp_path, PLAIN, f"schedule.kl_weight={kl_weight}")
    schedule = components.new_model(recipe, 10, {}).kl_weight
    assert isinstance(schedule, KLAnnealing)
    np.testing.assert_allclose([float(schedule(n)) for n in expected], list(expected.values()), rtol=1e-5, atol=1e-7)


def test_constant_kl_weight(tmp_path):
    assert components.new_model(load(tmp_path, PLAIN, "schedule.kl_weight=0.25"), 10, {}).kl_weight == 0.25
    assert components.new_model(load(tmp_path, without("schedule")), 10, {}).kl_weight == 1.0


def rate_at(recipe, steps, n):
    optimizer = components.new_optimizer(recipe, steps)
    assert type(optimizer) is keras.optimizers.Adam
    optimizer.build([keras.Variable(np.zeros(1, "float32"))])
    optimizer.iterations.assign(n)
    return float(optimizer.learning_rate)


def test_learning_rates(tmp_path):
    constant = load(tmp_path, PLAIN)
    assert rate_at(constant, 10, 10**4) == pytest.approx(0.01)
    cosine = load(tmp_path, PLAIN, "schedule.learning_rate.decay=cosine")  # 6 epochs of 10 updates
    for n in (0, 15, 30, 45, 60, 70):
        expected = 0.01 * (1 + np.cos(np.pi * min(n, 60) / 60)) / 2
        assert rate_at(cosine, 10, n) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    divide = load(tmp_path, PLAIN, 'schedule.learning_rate={decay="divide", by=2.0, after=3}')
    for n, divisions in {0: 0, 29: 0, 30: 1, 39: 1, 40: 2, 59: 3}.items():
        assert rate_at(divide, 10, n) == pytest.approx(0.01 / 2**divisions, rel=1e-5)
    config = components.new_optimizer(divide, 10).get_config()["learning_rate"]
    assert config["config"] == {"initial": 0.01, "divisor": 2.0, "start": 30, "every": 10}
    assert keras.saving.deserialize_keras_object(config).get_config() == DividedAfter(0.01, 2.0, 30, 10).get_config()


def test_schedule_of_the_default_learning_rate(tmp_path):
    recipe = load(tmp_path, PLAIN.replace("learning_rate = 0.01\n", ""), "schedule.learning_rate.decay=cosine")
    assert rate_at(recipe, 10, 0) == pytest.approx(0.001)
    assert rate_at(recipe, 10, 30) == pytest.approx(0.0005, rel=1e-5)


def test_optimizer(tmp_path):
    text = PLAIN.replace('class = "Adam"', 'class = "AdamW"\nepsilon = 1e-5\nweight_decay = 0.25\nglobal_clipnorm = 7')
    optimizer = components.new_optimizer(load(tmp_path, text), 10)
    assert type(optimizer) is keras.optimizers.AdamW
    assert (optimizer.epsilon, optimizer.weight_decay, optimizer.global_clipnorm) == (1e-5, 0.25, 7)


def test_arguments_of_the_model(tmp_path):
    """What the data says stands back where the recipe says something else; the seed is the training's."""
    text = PLAIN.replace('"bernoulli"', '"categorical"')
    data = {"num_classes": 50, "start_token": 1, "unknown_token": 0}
    model = components.new_model(load(tmp_path, text, "training.seed=3"), 10, data)
    assert (model.num_classes, model.start_token, model.unknown_token, model.seed) == (50, 1, 0, 3)
    settings = ("training.seed=3", "model.start_token=0")
    model = components.new_model(load(tmp_path, text, *settings), 10, data)
    assert (model.num_classes, model.start_token, model.unknown_token, model.seed) == (50, 0, 0, 3)


def test_the_scale_of_a_window_is_that_of_its_context(tmp_path):
    values = {"model": {"class": "RNN", "units": 4, "output": "gaussian", "scaling": "mean_abs"}}
    recipe = load(tmp_path, PLAIN)
    plain = {table: value for table, value in recipe.values.items() if table != "schedule"}
    for data, steps in (({"context": 9}, 9), ({}, None)):
        changed = recipe._replace(values={**plain, **values, "data": {**recipe.values["data"], **data}})
        scaling = components.new_model(changed, 10, {}).scaling
        assert isinstance(scaling, Scaling) and (scaling.kind, scaling.steps) == ("mean_abs", steps)


def test_global_clipnorm(tmp_path):
    """A step of SGD at rate 1 is the gradient: no longer than the norm, and of no other direction."""
    batch = digits.load_data("rows").train[:20]
    moves = []
    for settings in (["optimizer.global_clipnorm=0.01"], []):
        recipe = load(tmp_path, PLAIN, "optimizer.class=SGD", "optimizer.learning_rate=1.0", *settings)
        keras.utils.set_random_seed(1)
        model = components.new_model(recipe, 3, {})
        model.compile(optimizer=components.new_optimizer(recipe, 3))
        model.build(batch.shape)
        before = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        model.train_on_batch(batch)
        after = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        moves.append(np.concatenate([np.ravel(b - a) for a, b in zip(after, before, strict=True)]).astype("float64"))
    clipped, free = moves
    length = np.linalg.norm(free)
    assert length > 0.5
    assert np.linalg.norm(clipped) == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(clipped, free * 0.01 / length, atol=1e-6)
