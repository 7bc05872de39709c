"""Settings for all tests, before a backend is imported; where and how each runs."""

import ctypes
import gc
import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile much and compute little. XLA's older emitters compile the same programs in less than half the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1")

#: What computes the same on every backend: it runs on TensorFlow alone. Not of tuning/, whose own
#: conftest leaves it to JAX.
ONE_BACKEND = (
    "datasets",
    "inference/test_conformal.py",
    "inference/test_scores.py",
    "models/test_numpy.py::test_log_likelihood_without_latents",
    "models/test_numpy.py::test_steps",
    "pictures",
    "presets/test_refused.py",
    "test_benchmarks_anomalies.py",
    "test_benchmarks_forecasting.py",
    "test_benchmarks_gpu.py::test_a_part_that_fails_or_is_late_keeps_its_rows",
    "test_benchmarks_gpu.py::test_a_process_of_a_part_is_ended_with_its_children",
    "test_benchmarks_gpu.py::test_wheels",
    "test_docstrings.py::test_docs_of_outputs",
    "test_docstrings.py::test_docstrings",
    "test_export.py::test_the_command",
    "test_units.py",
    "zoo/test_comparison.py",
    "zoo/test_damaged_runs.py",
    "zoo/test_files.py",
    "zoo/test_interpolation.py",
    "zoo/test_main.py",
    "zoo/test_prepared.py",
    "zoo/test_recipes.py",
    "zoo/test_recipes_of_the_zoo.py",
    "zoo/test_report.py::test_in_a_browser",
    "zoo/test_samples.py",
    "zoo/test_standard_errors.py",
    "zoo/test_wrong_recipes.py",
)
#: What trains there all the same.
BOTH_BACKENDS = (
    "datasets/test_batches.py",
    "test_benchmarks_anomalies.py::test_a_model_is_trained_and_asked",
    "test_benchmarks_forecasting.py::test_a_model_is_trained_and_asked",
)
#: Kills, learning, searches, exports, presets, programs of their own, trainings compared: not in `make quick`.
SLOW = (
    "data/test_padding.py",
    "datasets/test_dataset.py::test_names_need_no_optional_package",
    "export",
    "inference",
    "integrations",
    "models/test_bounds.py",
    "models/test_fitting.py",
    "models/test_fivo.py",
    "models/test_generation.py::test_interpolate",
    "models/test_new_model.py",
    "models/test_progress.py",
    "models/test_traced.py",
    "models/test_training.py::test_data_of_every_kind",
    "models/test_training.py::test_every_batch_of_a_stream_is_checked",
    "models/test_training.py::test_learns_the_digits",
    "models/test_training.py::test_mixed_bfloat16",
    "models/test_training.py::test_reload_equals_original",
    "models/test_training.py::test_two_and_two_epochs_are_four",
    "presets/test_presets.py",
    "test_backends.py",
    "test_benchmarks.py::test_quick_run",
    "test_benchmarks_gpu.py::test_each_function_runs_on_the_cpu_without_tensorflow",
    "test_benchmarks_gpu.py::test_the_command",
    "test_callbacks.py",
    "test_docstrings.py",
    "test_export.py",
    "test_seeds.py::test_threads_draw_apart",
    "tuning/test_oracles.py",
    "tuning/test_search.py",
    "zoo/test_demo.py",
    "zoo/test_devices.py",
    "zoo/test_evaluation.py",
    "zoo/test_interpolation.py",
    "zoo/test_main.py",
    "zoo/test_not_finite.py",
    "zoo/test_other_data.py",
    "zoo/test_prepared.py",
    "zoo/test_progress.py",
    "zoo/test_report.py",
    "zoo/test_resume.py",
    "zoo/test_samples.py",
    "zoo/test_series.py",
    "zoo/test_speech.py",
    "zoo/test_training.py",
)
#: Where TensorFlow traces functions, as users run them. Elsewhere it runs them eagerly: tests are of values, and each
#: fresh model is traced anew, which costs more than all that is computed.
TRACED = (
    "datasets",
    "export",
    "models/test_fivo.py::test_fit",
    "models/test_segments.py::test_fit",
    "models/test_training.py::test_learns_the_digits",
    "test_benchmarks.py::test_quick_run",
    "test_docstrings.py::test_docs_of_a_service",
    "test_docstrings.py::test_docs_of_export",
    "test_docstrings.py::test_docs_of_time_series",
    "test_export.py",
    "test_xla.py",
    "tuning",
    "zoo/test_resume.py",
    "zoo/test_speech.py",
)


def pytest_configure(config):
    # One folder a process: JAX writes files of it that another might read by half.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if hasattr(config, "cache"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir(f"jax-{worker}")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_collection_modifyitems(items):
    for item in items:
        for names, marker in ((ONE_BACKEND, "one_backend"), (SLOW, "slow"), (TRACED, "traced")):
            if _is_of(item, names) and not (marker == "one_backend" and _is_of(item, BOTH_BACKENDS)):
                item.add_marker(marker)


def pytest_collection_finish():
    # What is imported by now stays: no collection after a module looks through it again.
    gc.collect()
    gc.freeze()


def _is_of(item, names):
    node = item.nodeid.partition("[")[0].removeprefix("tests/")
    return any(node == name or node.startswith((f"{name}/", f"{name}::")) for name in names)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Fixtures of a module too are made as its test runs."""
    import keras

    if keras.config.backend() != "tensorflow" or item.get_closest_marker("traced"):
        return (yield)
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        return (yield)
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def lean_children(tmp_path, monkeypatch):
    """Processes on JAX find no TensorFlow: Keras would load it, which costs more than all that they do."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        (tmp_path / "absent").mkdir()
        (tmp_path / "absent" / "tensorflow.py").write_text("raise ModuleNotFoundError(name=__name__)")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "absent"), prepend=os.pathsep)


@pytest.fixture(autouse=True, scope="module")
def what_was_compiled_goes():
    """The traces and programs of a module's models, which are gone with it."""
    yield
    _clear()


@pytest.fixture(autouse=True)
def few_memory_maps():
    """Each program that JAX has compiled holds some: 10,000 are a GB; past 65,530, the next crashes."""
    yield
    if "jax" in sys.modules and sys.platform == "linux":
        with open("/proc/self/maps") as file:
            count = sum(1 for _ in file)
        if count > 10_000:
            _clear()


def _clear():
    if "tensorflow" in sys.modules:
        # TensorFlow registers each gradient of one's own for good, and with it the graph that it was traced in.
        from tensorflow.python.framework.ops import gradient_registry

        for name in [name for name in gradient_registry.list() if name.startswith("CustomGradient-")]:
            del gradient_registry._registry[name]
    gc.collect()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system
