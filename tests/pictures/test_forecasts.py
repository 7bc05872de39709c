"""A picture of a forecast: what is read back from it is what was given."""

import numpy as np
import pytest

from zf_keras import pictures

SAMPLES = np.arange(101.0)[:, None, None] + np.arange(8.0).reshape(1, 4, 2)


def edges(band):
    """Steps, and the lower and upper edge at each, of a filled band."""
    x, y = band.get_paths()[0].vertices.T
    steps = np.unique(x)
    return steps, [y[x == step].min() for step in steps], [y[x == step].max() for step in steps]


def test_median_and_bands_open_from_the_last_known_step():
    history = np.arange(6.0).reshape(3, 2) + 50
    figure = pictures.forecast(SAMPLES, history)
    assert [axis.get_title() for axis in figure.axes] == ["feature 0", "feature 1"]
    first = SAMPLES[0, :, 1]
    known, median = figure.axes[1].lines
    np.testing.assert_array_equal(known.get_xydata(), np.stack([[-2, -1, 0], history[:, 1]], axis=1))
    np.testing.assert_array_equal(median.get_xydata(), np.stack([range(5), [55, *(50 + first)]], axis=1))
    for band, half in zip(figure.axes[1].collections, (45, 25), strict=True):
        steps, lower, upper = edges(band)
        assert steps.tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_allclose(lower, [55, *(50 - half + first)])
        np.testing.assert_allclose(upper, [55, *(50 + half + first)])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["known", "90%", "50%", "median"]


def test_without_a_history_and_of_many_features():
    figure = pictures.forecast(np.repeat(SAMPLES, 5, axis=2))
    assert len(figure.axes) == 8
    (median,) = figure.axes[0].lines
    assert median.get_xdata().tolist() == [1, 2, 3, 4]
    assert [axis.get_title() for axis in pictures.forecast(SAMPLES, features=[1]).axes] == ["feature 1"]
    assert pictures.forecast(SAMPLES[..., :1]).axes[0].get_title() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SAMPLES[0],), r"`samples` .*\(4, 2\)"),
        ((SAMPLES, np.zeros(3)), r"`history` .*\(3,\)"),
        ((SAMPLES, np.zeros((3, 1))), r"`history` .*features=2.*\(3, 1\)"),
        ((SAMPLES, None, [2]), r"`features` .*\[0, 2\)"),
        ((SAMPLES, None, []), "`features`"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        pictures.forecast(*arguments)
