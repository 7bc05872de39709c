"""Files that are whole or not there."""

from zf_keras.files import whole_file as whole_file


def write_whole(path, text):
    """Writes a text file that is whole or not there."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
