"""`log_likelihood` of streams."""

import numpy as np
import pytest

from tests.models.table import make, sequences
from zf_keras.datasets import Batches


def ragged():
    return [x[:length] for x, length in zip(sequences(count=6), (5, 3, 4, 2, 5, 1), strict=True)]


def test_of_batches():
    """Exact without latents, so that batches and padding are no matter."""
    model = make("rnn")
    alone = [model.log_likelihood(x[None], verbose=0)[0] for x in ragged()]
    np.testing.assert_allclose(model.log_likelihood(Batches(ragged(), batch_size=4), verbose=0), alone, rtol=1e-5)
    unbatched = model.log_likelihood((x[None] for x in ragged()), verbose=0)
    np.testing.assert_allclose(unbatched, alone, rtol=1e-5)


def test_a_seed_is_that_of_the_whole_stream():
    model, batches = make("vrnn"), Batches([sequences(count=1)[0]] * 4, batch_size=2)
    bounds = model.log_likelihood(batches, 3, seed=0, verbose=0)
    np.testing.assert_array_equal(bounds, model.log_likelihood(batches, 3, seed=0, verbose=0))
    assert len(np.unique(bounds)) == 4  # of one sequence, by draws of their own


def test_what_is_no_stream():
    with pytest.raises(ValueError, match="stream without batches"):
        make("rnn").log_likelihood(iter([]), verbose=0)
    for data in ([sequences()], "text", 3):
        with pytest.raises(ValueError, match="must be an array or a dict"):
            make("rnn").log_likelihood(data)
