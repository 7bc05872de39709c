"""Writes a data set to shards, once, however often interrupted."""

import errno
import hashlib
import json
from pathlib import Path

import keras
import numpy as np

from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.data.files import check_name, file_state, locked, printable, write_array, write_json
from zf_keras.data.moments import Moments
from zf_keras.data.sequences import TIMELESS
from zf_keras.data.shard_sequences import frames_of, sequence_arrays
from zf_keras.data.shards import MANIFEST, PROGRESS, read_json
from zf_keras.files import disk_full

FORMAT = 1
_ARRAY_BYTES = 128  # of an array beside its numbers, which counts where sequences are short


def write_shards(
    directory,
    dataset,
    splits,
    read,
    settings=None,
    survey=None,
    statistics_of="train",
    on_error="stop",
    shard_bytes=64 * 2**20,
    verbose=True,
    state=None,
    missing=False,
):
    """Writes the sequences of a data set to shards; goes on with a directory that is not complete.

    At most a shard and one sequence are in memory. Interrupted at any moment, by a kill or a full disk too, the
    directory has no manifest, and the next call with the same arguments goes on after its last whole shard.

    Args:
        directory: path. Made if it is not there.
        dataset: str. Name of the data set, for the manifest.
        splits: dict from split to a list of sources (str: paths, say), in the order in which they are written; or to
            a dict from the name of each source to what `read` and `state` get in its place.
        read: function from (source, survey) to an iterable of arrays, (time, features) or (time,) of tokens, always
            the same for the same source; or of dicts of such `"targets"` and, any of them, `"covariates"` (time,
            features), and of the whole sequence `"static"` (features,) and `"categories"` (count,) of integers.
        settings: dict of JSON values that tell how `read` makes sequences: what is prepared with other settings is
            another data set. Defaults to `None`, none.
        survey: function without arguments to a JSON value that `read` gets and the manifest keeps, such as a
            vocabulary; called before the first source is read, if anything is to be done. Defaults to `None`.
        statistics_of: str or `None`. The split whose mean and standard deviation over all values go into the
            manifest. Defaults to `"train"`.
        on_error: `"stop"`: an error of `read` is raised, with the source's name; or `"skip"`: the source is left
            out, and named and counted in the manifest. (Of a source that fills shards before its error, those
            sequences stay, and their number is in `"kept"`.) Defaults to `"stop"`.
        shard_bytes: int. Size at which a shard is full. Defaults to 64 MiB.
        verbose: bool. Whether to show a progress bar over the sources. Defaults to `True`.
        state: function from a source to a JSON value that is another once the source was changed: what is in shards
            already is then written anew by a preparation that goes on. Defaults to `None`: size and time of change, of
            sources that are paths of files. (A checksum would read every source twice.)
        missing: bool. Whether targets may be NaN, where a value is missing. Defaults to `False`.

    Returns:
        The manifest, a dict. Its `"splits"` count the sources that gave no sequence, `"empty"`.

    Raises:
        ValueError: an argument is wrong, the directory holds another data set, a source does not hold what the
            others hold, or a source was changed while it was read.
        OSError: the disk is full, or the directory can't be written; what was written whole is kept.
    """
    check_choice("on_error", on_error, ("stop", "skip"))
    check_positive_int("shard_bytes", shard_bytes)
    check_choice("statistics_of", statistics_of, (None, *splits))
    for split, of_split in splits.items():
        if isinstance(of_split, (str, bytes)):
            raise ValueError(f"`splits` must have a list of sources for {split!r}. Received: {of_split!r}.")
    directory = Path(directory)
    sources = {
        split: list(of_split.items()) if isinstance(of_split, dict) else [(str(source),) * 2 for source in of_split]
        for split, of_split in splits.items()
    }
    identity = {
        "format": FORMAT,
        "dataset": dataset,
        "settings": settings or {},
        "statistics_of": statistics_of,
        "shard_bytes": shard_bytes,
        "sources": {split: _summary([name for name, _ in pairs]) for split, pairs in sources.items()},
    }
    identity = _as_json(identity)
    states = _states(sources, state)
    with locked(directory):
        try:
            directory.mkdir(exist_ok=True)
            found = next((name for name in (MANIFEST, PROGRESS) if (directory / name).exists()), None)
            progress = read_json(directory / found) if found else None
            if found == PROGRESS and not any(split["shards"] for split in progress["splits"].values()):
                # Nothing is lost: the arguments may have been mended after an error.
                same = progress["identity"] == identity and progress.get("states", states) == states
                progress = progress if same else None
            elif found:
                _check_identity(directory, progress["identity"], identity)
            else:
                _refuse_strangers(directory)
            if found == MANIFEST:
                return progress
            if progress and (change := _change(progress, sources, states, survey)):
                if verbose:
                    print(f"{change} was changed since it was read: all is read anew.")
                progress = None
            if progress is None:
                progress = {
                    "identity": identity,
                    "states": states,
                    "survey": survey() if survey else None,
                    "splits": {},
                    "skipped": [],
                    "moments": Moments().state(),
                    "frame": None,
                    "beside": {},
                    "missing": missing,
                }
                write_json(directory / PROGRESS, progress)
            _remove_unfinished(directory, progress)
            writer = _Writer(directory, progress, on_error, shard_bytes, statistics_of)
            bar = keras.utils.Progbar(max(1, sum(map(len, sources.values())))) if verbose else None
            for split, pairs in sources.items():
                writer.write_split(split, pairs, read, bar)
                if pairs and not progress["splits"][split]["shards"]:
                    reason = "".join(f" {skip['source']}: {skip['error']}" for skip in progress["skipped"][:1])
                    raise ValueError(
                        f"The {len(pairs)} sources of {split!r} hold no sequence that could be read.{reason}"
                    )
            if change := _change(progress, sources, _states(sources, state), None):
                raise ValueError(f"{change} was changed while it was read. Prepare again: all is read anew.")
            manifest = {name: value for name, value in progress.items() if name not in ("moments", "states")}
            manifest["statistics"] = Moments(**progress["moments"]).statistics() if statistics_of else None
            write_json(directory / MANIFEST, manifest)
            (directory / PROGRESS).unlink()
        except OSError as error:
            if disk_full(error):
                raise OSError(
                    errno.ENOSPC,
                    f"No space left for the shards in {directory}. Free some, and prepare again: it goes on after the "
                    "last whole shard.",
                ) from error
            raise
    return manifest


class _SourceError(Exception):
    """A source can't be read; the cause says why."""


class _Writer:
    def __init__(self, directory, progress, on_error, shard_bytes, statistics_of):
        self.directory = directory
        self.progress = progress
        self.on_error = on_error
        self.shard_bytes = shard_bytes
        self.statistics_of = statistics_of
        self.moments = Moments(**progress["moments"])

    def write_split(self, split, sources, read, bar):
        done = self.progress["splits"].setdefault(split, {"consumed": 0, "within": 0, "empty": 0, "shards": []})
        if bar:
            bar.add(done["consumed"])
        buffer, size = [], 0
        for position in range(done["consumed"], len(sources)):
            (name, source), start, count = sources[position], len(buffer), 0
            written = done["within"]  # sequences of this source that are in shards already
            try:
                for count, sequence in enumerate(self._sequences(name, source, read), start=1):
                    if count <= written:
                        continue
                    buffer.append(sequence)
                    size += _bytes(sequence)
                    if size >= self.shard_bytes:
                        self._flush(split, buffer, position, count)
                        buffer, size, start = [], 0, 0
            except _SourceError as error:
                self._skip(name, error.__cause__, done["within"])
                buffer = buffer[:start]
                size = sum(map(_bytes, buffer))
            else:
                done["empty"] += not count
            done["within"] = 0
            done["consumed"] = position + 1
            if bar:
                bar.add(1)
        self._flush(split, buffer, len(sources), 0)

    def _sequences(self, name, source, read):
        try:
            check_name(name)
            for sequence in read(source, self.progress["survey"]):
                yield self._checked(sequence)
        except (ImportError, MemoryError):
            raise  # not the source's
        except Exception as error:
            raise _SourceError from error

    def _skip(self, name, error, kept):
        name = printable(name)
        if self.on_error == "stop":
            raise ValueError(f"{name}: {error}") from error
        self.progress["skipped"].append({"source": name, "error": str(error), "kept": kept})

    def _checked(self, sequence):
        """A sequence as a dict of arrays."""
        arrays = sequence_arrays(sequence, self.progress["missing"])
        frame, beside = frames_of(arrays)
        if self.progress["frame"] is None:
            self.progress |= {"frame": frame, "beside": beside}
        for what, found, before in (
            ("frames", frame, self.progress["frame"]),
            ("what stands beside the targets", beside, self.progress["beside"]),
        ):
            if found != before:
                raise ValueError(f"{what} are {found}, where those before are {before}.")
        return arrays

    def _flush(self, split, sequences, consumed, within):
        done = self.progress["splits"][split]
        if sequences:
            name = f"{split}-{len(done['shards']):05d}"
            targets = np.concatenate([sequence["targets"] for sequence in sequences])
            files = {f"{name}.npy": targets}
            for key in self.progress["beside"]:
                joined = np.stack if key in TIMELESS else np.concatenate
                files[f"{name}.{key}.npy"] = joined([sequence[key] for sequence in sequences])
            files[f"{name}.ends.npy"] = np.cumsum([len(sequence["targets"]) for sequence in sequences], dtype="int64")
            checksums = {file: write_array(self.directory / file, array) for file, array in files.items()}
            counts = {"sequences": len(sequences), "frames": len(targets)}
            done["shards"].append({"name": name, **counts, "sha256": checksums})
            if split == self.statistics_of:
                self.moments.add(targets[~np.isnan(targets)] if self.progress["missing"] else targets)
        done["consumed"], done["within"] = consumed, within
        self.progress["moments"] = self.moments.state()
        write_json(self.directory / PROGRESS, self.progress)


def _bytes(sequence):
    return sum(array.nbytes + _ARRAY_BYTES for array in sequence.values())


def _as_json(value):
    """The value as it is once it was written and read."""
    return json.loads(json.dumps(value))


def _summary(names):
    return [len(names), hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()]


def _states(sources, state):
    state = state or (lambda source: file_state(source) if isinstance(source, str) else None)
    return _as_json({split: [state(source) for _, source in pairs] for split, pairs in sources.items()})


def _change(progress, sources, states, survey):
    """What was changed of what is in the shards already, or `None`; sources that were not read yet may be mended."""
    before = progress.setdefault("states", states)
    if before == states:
        return None
    for split, done in progress["splits"].items():
        read = done["consumed"] + bool(done["within"])
        for (name, _), then, now in list(zip(sources[split], before[split], states[split], strict=True))[:read]:
            if then != now:
                return printable(name)
    if survey and _as_json(survey()) != progress["survey"]:
        return "what is drawn from all sources"
    progress["states"] = states
    return None


def _check_identity(directory, found, wanted):
    for name, value in wanted.items():
        there, here = ({name: x} if name != "settings" else x for x in (found.get(name), value))
        for key in here:
            if there.get(key) == here[key]:
                continue
            what = f"with {key}={there.get(key)!r}, not {key}={here[key]!r}"
            if key == "sources":
                counts = [{split: n for split, (n, _) in x[key].items()} for x in (there, here)]
                what = f"from other sources: {counts[0]}, now {counts[1]}"
            raise ValueError(
                f"{directory} holds a data set prepared {what}. Choose another directory, or delete this one."
            )


def _refuse_strangers(directory):
    strangers = [path.name for path in directory.iterdir() if not path.name.startswith("partial-")]
    if strangers:
        raise ValueError(f"{directory} is neither empty nor a prepared data set: it holds {sorted(strangers)[0]}.")


def _remove_unfinished(directory, progress):
    """Files that are in no list: of a shard that was being written."""
    known = {MANIFEST, PROGRESS}
    known |= {file for split in progress["splits"].values() for shard in split["shards"] for file in shard["sha256"]}
    for path in directory.iterdir():
        if path.name not in known and path.suffix in (".npy", ".json"):
            path.unlink()
