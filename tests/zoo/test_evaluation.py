"""What is measured of a run: which bound, of how many sequences."""

import numpy as np
import pytest

from tests.zoo.command_line import done, refused
from tests.zoo.conftest import begin_tiny
from zf_keras import STORN
from zoo import evaluation
from zoo.runs import CARD


def test_some_of_the_sequences(tiny):
    results, scores = evaluation.measure(tiny, verbose=0, count=20)
    everything, all_scores = evaluation.measure(tiny, verbose=0)
    assert (results["sequences"], results["of_sequences"]) == (20, 250) and results["frames"] == 160
    assert everything["sequences"] == everything["of_sequences"] == 250
    assert len(scores) == 20 and np.isclose(all_scores[:, None], scores, rtol=1e-5).any(axis=0).all()
    np.testing.assert_allclose(results["bounds"]["exact"]["nats a sequence"], scores.mean())
    np.testing.assert_array_equal(scores, evaluation.measure(tiny, verbose=0, count=20)[1])
    assert evaluation.measure(tiny, verbose=0, count=1000)[0]["sequences"] == 250


def test_the_command_says_so(tiny):
    text = done("evaluate", tiny.directory, "--sequences", "20")
    assert "20 of 250 test sequences" in text and "20 of 250 test sequences" in tiny.path(CARD).read_text()
    assert "`count` must be a positive integer" in refused("evaluate", tiny.directory, "--sequences", "0")


@pytest.mark.parametrize("bound", ["iwae", "fivo"])
def test_bounds(bound, tmp_path, monkeypatch):
    run = begin_tiny(tmp_path / "run", model__class="STORN", model__latent_dim=2)
    model = STORN(4, 2, "bernoulli", seed=0)
    model.build((None, 8, 8))
    monkeypatch.setattr(evaluation, "best_model", lambda run: (model, 1))
    results, scores = evaluation.measure(run, num_samples=4, verbose=0, bound=bound, count=30)
    assert list(results["bounds"]) == ["ELBO", f"{bound.upper()}-4"]
    of_bound = results["bounds"][f"{bound.upper()}-4"]["nats a sequence"]
    np.testing.assert_allclose(of_bound, scores.mean())
    assert of_bound > results["bounds"]["ELBO"]["nats a sequence"]
