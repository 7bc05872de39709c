"""Settings for all tests, before a backend is imported."""

import gc
import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile much and compute little.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.fixture(autouse=True)
def few_memory_maps():
    """Each program that JAX has compiled holds some; past 65,530, Linux's default, the next one crashes."""
    yield
    if "jax" in sys.modules and sys.platform == "linux":
        with open("/proc/self/maps") as file:
            count = sum(1 for _ in file)
        if count > 20_000:
            gc.collect()
            sys.modules["jax"].clear_caches()
