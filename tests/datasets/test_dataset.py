"""Data sets as the rest of the project finds them."""

import subprocess
import sys

import numpy as np
import pytest

from zf_keras import datasets
from zf_keras.datasets import Dataset, Splits
from zoo import components

MINE = '''"""Mine: a constant."""

import numpy as np

from zf_keras.datasets import Dataset, Splits


def load_data(value=1.0):
    return Splits(*(np.full((count, 5, 2), value, "float32") for count in (4, 2, 2)))


DATASET = Dataset(load_data, measures=lambda scores, sequences: {"twice": 2 * float(np.sum(scores))})
'''


def test_a_new_one_is_one_file(tmp_path, monkeypatch, request):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    request.addfinalizer(lambda: sys.modules.pop("zf_keras.datasets.mine"))
    assert "mine" in datasets.NAMES and "timit" in datasets.NAMES
    mine = datasets.get("mine")
    assert mine.prepare is None and mine.key == "targets" and mine.write_samples(None, None, None) == []
    assert components.data_arguments("mine") == {"value": 1.0}
    assert mine.load_data(value=3.0).train[0, 0, 0] == 3 and mine.measures(np.ones(2), None) == {"twice": 4.0}


def test_names():
    expected = (
        "binarized_mnist blizzard digits fashion_mnist imdb ljspeech mnist piano_rolls ptb series speech text timit"
    )
    assert tuple(expected.split()) == datasets.NAMES
    assert all(isinstance(datasets.get(name), Dataset) for name in datasets.NAMES)
    assert [name for name in datasets.NAMES if datasets.get(name).key == "inputs"] == ["piano_rolls"]
    assert [name for name in datasets.NAMES if not datasets.get(name).prepare] == ["digits"]
    with pytest.raises(AttributeError, match="no attribute 'NAME'"):
        _ = datasets.NAME


def test_digits_are_splits_of_arrays():
    assert datasets.get("digits").load_data()._fields == Splits._fields


def test_names_need_no_optional_package():
    packages = ["soundfile", "mido", "nltk", "tokenizers", "filelock", "grain", "matplotlib", "pandas", "holidays"]
    code = f"import sys; sys.modules.update(dict.fromkeys({packages})); from zf_keras import datasets; datasets.NAMES"
    subprocess.run([sys.executable, "-c", code], check=True)
