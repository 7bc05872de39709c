"""Pictures of trials: axes that fit their values, zero and what is missing apart."""

import pytest

from tuning import pictures


def trials(settings):
    return [
        {"trial": str(number), "val_elbo": -float(number), "settings": each} for number, each in enumerate(settings)
    ]


def test_scales():
    scale = pictures._Scale([0.0, 1e-4, 1e-2, 1e-3])
    assert [scale.height(value) for value in (0.0, 1e-4, 1e-2)] == [0.0, 0.12, 1.0]
    assert scale.height(1e-3) == pytest.approx(0.56)
    scale = pictures._Scale([2, 4, 6])
    assert [scale.height(value) for value in (2, 4, 6)] == [0.0, 0.5, 1.0]
    assert dict(scale.ticks()) == {0.0: "2", 0.5: "4", 1.0: "6"}
    scale = pictures._Scale([i / 10 for i in range(11)])
    assert dict(scale.ticks()) == {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    scale = pictures._Scale(["a", None, "b"])
    assert [scale.height(value) for value in (None, "a", "b")] == [0.0, 0.12, 1.0]


def test_parallel_coordinates_have_an_axis_for_each_setting_that_varies():
    settings = [
        {"model.units": units, "model.dropout": 0.1, "schedule.kl_weight": {"initial": 0.1 * units, "epochs": 3}}
        for units in (1, 2, 3)
    ]
    (axis, *_) = pictures.parallel(trials(settings)).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["units", "kl\nweight\ninitial"]
    lines = {line.get_label(): list(line.get_ydata()) for line in axis.lines if len(line.get_ydata()) == 2}
    assert lines["best: -0.00"] == [0.0, 0.0]
    assert [0.5, pytest.approx(0.5)] in lines.values() and [1.0, 1.0] in lines.values()
    assert pictures.parallel(trials(settings[:1] * 2)) is None
    assert pictures.parallel([]) is None


def test_zero_is_apart_on_the_logarithmic_axis_of_an_auxiliary_weight():
    found = trials([{"model.alpha": value} for value in (0.01, 0.0, 1e-4)])
    (axis,) = pictures.auxiliary(found).axes
    points = axis.collections[0].get_offsets().tolist()
    assert points == [[0.01, 0.0], [1e-5, -1.0], [1e-4, -2.0]]
    assert axis.get_xticklabels()[0].get_text() == "0" and axis.get_xticks()[0] == 1e-5
    assert pictures.auxiliary(trials([{"model.units": 3}])) is None
