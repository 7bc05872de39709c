"""Values as TensorBoard reads them, and the file of events that they go to."""

import io
import struct
import sys
import time
import uuid
import wave

import numpy as np

from zf_keras.extras import optional_import


class EventFile:
    """A new file of events in a folder. Nothing of it stays open between two events.

    Args:
        directory: path. Made if it is not there.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"events.out.tfevents.{int(time.time())}.{uuid.uuid4().hex}"
        self._append(file_version="brain.Event:2")

    def add(self, step, values):
        """Appends values, at a number of updates."""
        self._append(step=step, summary=proto("summary").Summary(value=values))

    def _append(self, **fields):
        event = proto("event").Event(wall_time=time.time(), **fields)
        with self.path.open("ab") as file:
            tensorboard("summary.writer.record_writer").RecordWriter(file).write(event.SerializeToString())


def tensorboard(module):
    return optional_import(f"tensorboard.{module}", "tensorboard", "TensorBoardSamples")


def proto(name):
    return tensorboard(f"compat.proto.{name}_pb2")


def image(tag, figure):
    """A matplotlib figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    if "matplotlib.pyplot" in sys.modules:  # which keeps the figures that were made by it
        sys.modules["matplotlib.pyplot"].close(figure)
    png = file.getvalue()
    size = [str(pixels).encode() for pixels in struct.unpack(">II", png[16:24])]
    return _strings(tag, tensorboard("plugins.image.metadata").create_summary_metadata("", ""), [*size, png])


def audio(tag, sounds):
    """Sounds, each a pair of samples (int16) and how many are a second."""
    metadata = tensorboard("plugins.audio.metadata")
    rows = [(wav(samples, rate), b"") for samples, rate in sounds]
    return _strings(tag, metadata.create_summary_metadata("", "", metadata.Encoding.WAV), rows)


def table(tag, rows):
    """Rows of texts. TensorBoard reads Markdown: indented, a text is shown as it is."""
    rows = [[f"    {text}".replace("\n", "\n    ").encode() for text in row] for row in rows]
    return _strings(tag, tensorboard("plugins.text.metadata").create_summary_metadata("", ""), rows)


def wav(samples, rate):
    """The bytes of a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, rate, len(samples), "NONE", None))
        wav.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def _strings(tag, metadata, values):
    values = np.array(values, dtype=object)
    shapes = proto("tensor_shape").TensorShapeProto
    tensor = proto("tensor").TensorProto(
        dtype=proto("types").DT_STRING,
        tensor_shape=shapes(dim=[shapes.Dim(size=size) for size in values.shape]),
        string_val=values.ravel().tolist(),
    )
    return proto("summary").Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
