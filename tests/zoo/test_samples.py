"""What a run draws for TensorBoard while it trains."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.zoo.conftest import STEPS, begin_tiny
from tests.zoo.test_resume import weights
from zf_keras import datasets
from zoo import recipes, training
from zoo.devices import Devices
from zoo.runs import BEST, LAST, METRICS, Run


def test_a_run_with_samples_is_the_same(tmp_path):
    """Drawn after the second epoch and the last; stopped in between and gone on with, as a run without."""
    runs = []
    for every in (0, 2):
        (tmp_path / str(every)).mkdir()
        run = begin_tiny(tmp_path / str(every) / "run", training__samples_every=every)
        training.train(run, verbose=0, until=every or None)
        training.train(Run(run.directory), verbose=0)
        runs.append(run)
    without, drawing = runs
    assert drawing.path(METRICS).read_text() == without.path(METRICS).read_text()
    assert weights(drawing.path(LAST)) == weights(without.path(LAST))
    assert not without.path("tensorboard/samples").exists()
    events = EventAccumulator(str(drawing.path("tensorboard/samples"))).Reload()
    assert events.Tags()["tensors"] == ["generated/figure"]
    assert [event.step for event in events.Tensors("generated/figure")] == [2 * STEPS, 3 * STEPS]


def test_what_is_drawn_of_a_data_set(speech):
    """Its own functions, with its manifest, of its validation part."""
    run = Run(speech.run.directory)
    run.recipe.values["training"]["samples_every"] = 4
    data = run.load_data()
    model, _ = run.load_model(BEST)
    (callback,) = training._samples(run, data, model, Devices())
    assert (callback.every, callback.length, callback.prompt_steps) == (4, 9, 0)  # of 15, 10, 4 and 8 frames
    for mine, other in zip(callback.real, data.valid, strict=True):
        np.testing.assert_array_equal(mine, other[:9])
    sound, rate = callback.functions["audio"](data.valid[0])
    expected, _ = datasets.get("speech").audio(data.valid[0], data.train.manifest)
    np.testing.assert_array_equal(sound, expected)
    assert rate == 8000 and callback.functions["text"] is None
    assert len(callback.functions["figure"]({"real": callback.real}).axes) > 1


def test_when_nothing_is_drawn(speech):
    run = Run(speech.run.directory)
    data, (model, _) = run.load_data(), run.load_model(BEST)
    assert run.training["samples_every"] == 0 and training._samples(run, data, model, Devices()) == []
    assert "training.samples_every" not in recipes.fixed_settings(run.recipe.values)
