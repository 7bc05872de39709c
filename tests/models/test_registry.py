"""Models by name, and what their signatures say."""

import inspect

import pytest

import zf_keras
from zf_keras import models
from zf_keras.models.arguments import OfAll, OfLatent
from zf_keras.models.base import SequenceModel
from zf_keras.models.latent import LatentModel
from zf_keras.models.registry import by_name

NEW_MODEL = """
import keras

from zf_keras.models.rnn import RNN as Parent


@keras.saving.register_keras_serializable("tests")
class Echo(Parent):
    def __init__(self, units, output, echo=1, **kwargs):
        super().__init__(units, output, **kwargs)
        self.echo = echo


del Parent
"""


def test_the_models_of_the_package():
    assert by_name() == {
        name: getattr(zf_keras, name) for name in ("RNN", "SRNN", "STORN", "VRNN", "VariationalBiLSTM", "ZForcing")
    }


def test_a_new_model_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "echo_model").mkdir()
    (tmp_path / "echo_model" / "__init__.py").write_text(NEW_MODEL)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    cls = by_name()["Echo"]
    model = cls(units=2, output="gaussian", echo=3, dropout=0.1)
    again = cls.from_config(model.get_config())
    assert (again.echo, again.dropout) == (3, 0.1)


@pytest.mark.parametrize("name", sorted(by_name()))
def test_a_signature_has_every_argument(name):
    cls = by_name()[name]
    parameters = inspect.signature(cls).parameters
    own = [each for each in inspect.signature(cls.__init__).parameters if each not in ("self", "kwargs")]
    assert list(parameters)[: len(own)] == own
    shared, base = (OfLatent, LatentModel) if issubclass(cls, LatentModel) else (OfAll, SequenceModel)
    for each in set(shared.__annotations__) - {"name", "dtype"}:
        assert each in parameters, each
        assert f"\n        {each}: " in cls.__doc__, each
    # What editors are told is what the constructors take.
    of_base = set(inspect.signature(base).parameters) - {"units", "latent_dim", "output", "kwargs"}
    assert of_base == set(shared.__annotations__) - {"name", "dtype"}
