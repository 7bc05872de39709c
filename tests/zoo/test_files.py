"""What is read of files that may be damaged, and what is said of a full disk."""

import pytest

from zoo import files, training


def test_a_full_disk_in_training(tiny, monkeypatch):
    """TensorFlow's error of a full disk, from TensorBoard's events."""

    def full(*args):
        raise RuntimeError("events.out; No space left on device")

    monkeypatch.setattr(training, "_train", full)
    with pytest.raises(OSError, match="No space left to write"):
        training.train(tiny, verbose=0)


@pytest.mark.parametrize(("text", "cause"), [("3", "an object"), ("{}", "no 'a'"), ('{"a": true}', "wrong type")])
def test_read_json(tmp_path, text, cause):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=cause):
        files.read_json(tmp_path / "a.json", {"a": int})
