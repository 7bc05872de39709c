"""A model, the preset of it, and a copy to be tampered with."""

import pytest

from tests.models.table import make
from zf_keras import KLAnnealing


@pytest.fixture(scope="session")
def trained():
    """A model as after three updates, in the middle of its KL schedule."""
    model = make("z_forcing", "bernoulli", kl_weight=KLAnnealing(0.1, increment=0.05))
    model.compile(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    model.updates.assign(3)
    model.seed_generator.next()
    return model


@pytest.fixture(scope="session")
def saved(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("presets") / "trained"
    trained.save_to_preset(directory, statistics={"mean": 0.5, "std": [1.0, 2.0, 3.0]}, results={"elbo": -3.5})
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    """A preset to be tampered with."""
    for path in saved.rglob("*"):
        if path.is_file():
            target = tmp_path / "preset" / path.relative_to(saved)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "preset"
