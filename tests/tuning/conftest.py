"""A search that was begun, once for all tests; each has a copy."""

import os
import shutil
from pathlib import Path

import keras
import pytest

from tests.tuning.written import SETTINGS
from tuning.searches import Search
from zoo import recipes

#: What searches by processes do is tested on each backend; all else is the same on both, and tested on one.
if keras.config.backend() != "jax":
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_search.py"]


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="session")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun") / "search"
    return Search.begin(folder, recipes.load("digits/z_forcing", True), None, SETTINGS)


@pytest.fixture
def search(begun, tmp_path):
    return Search(shutil.copytree(begun.directory, tmp_path / "search"))
