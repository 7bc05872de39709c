"""GPUs that a worker may use, and its share of one."""

import os
import sys

import pytest

from tuning import workers
from tuning.metadata import SearchError


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A `nvidia-smi` that finds two."""
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!{sys.executable}\nprint('0, GPU-aa, 81559')\nprint('1, GPU-bb, 40000')\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_gpus(two_gpus):
    assert workers.gpus({}) == [("GPU-aa", 81559), ("GPU-bb", 40000)]
    assert workers.gpus({"CUDA_VISIBLE_DEVICES": "1"}) == [("GPU-bb", 40000)]
    assert workers.gpus({"CUDA_VISIBLE_DEVICES": "GPU-aa"}) == [("GPU-aa", 81559)]
    assert workers.gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_no_gpus_without_nvidias_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workers.gpus({}) == []
    with pytest.raises(SearchError, match="no NVIDIA GPU"):
        workers.share_gpu(100)


def test_a_share_of_a_gpu(two_gpus, monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "1")
    workers.share_gpu(20390)
    assert os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.2500"
    with pytest.raises(SearchError, match="must be at most 81559"):
        workers.share_gpu(81560)
