"""What `summary` shows."""

import pytest

from tests.models.table import MODELS_HERE, make


@pytest.mark.parametrize("name", MODELS_HERE)
def test_every_layer_has_a_shape(name):
    lines = []
    make(name, random=False).summary(print_fn=lines.append)
    assert "?" not in "\n".join(lines)
    assert "(None, None, 6)" in "\n".join(lines)  # the parameters of a Gaussian of three features
