"""What the rest of the project knows of a data set."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set, which its module holds as `DATASET`.

    Args:
        load_data: function to `Splits`, from the directory of what was prepared, unless it is bundled, and options.
        prepare: function from (source, directory) and options, `on_error` and `verbose` among them, to a manifest.
            Defaults to `None`, the data is bundled.
        key: what the sequences are to a model: `"targets"`, or `"inputs"` where the first frame is given and not
            predicted. Defaults to `"targets"`.
        model_arguments: function from a manifest to the arguments that a model is built with, such as `num_classes`.
            Defaults to one that says nothing.
        measures: function from log-likelihoods (sequences,), nats, and the sequences that were scored to a dict from
            each further unit to the value: of `zf_keras.units`, with a standard error, or a float. Defaults to one
            that has none.
        read_prompt: function from (what a user gave, the path of a file or a text, and a manifest) to one sequence as
            models see it, to be continued. Defaults to `None`, there is none.
        write_samples: function from (samples, directory, manifest) to the paths that it writes. Defaults to one that
            writes none.
        figure: function from (groups, manifest, columns) to a matplotlib figure, as the functions of
            `zf_keras.pictures`. Defaults to `None`, the data is not to be looked at.
        audio: function from (sequence, manifest) to its sound, a pair of samples (int16) and how many are a second.
            Defaults to `None`, there is none.
        text: function from (sequence, manifest) to a str. Defaults to `None`, there is none.
    """

    load_data: Callable
    prepare: Callable | None = None
    key: str = "targets"
    model_arguments: Callable = lambda manifest: {}
    measures: Callable = lambda log_likelihoods, sequences: {}
    read_prompt: Callable | None = None
    write_samples: Callable = lambda samples, directory, manifest: []
    figure: Callable | None = None
    audio: Callable | None = None
    text: Callable | None = None
