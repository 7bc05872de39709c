"""What is read of files that may be damaged, and what is said of a full disk."""

import pytest

from zoo import files


@pytest.mark.parametrize(("text", "cause"), [("3", "an object"), ("{}", "no 'a'"), ('{"a": true}', "wrong type")])
def test_read_json(tmp_path, text, cause):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=cause):
        files.read_json(tmp_path / "a.json", {"a": int})
