"""Piano rolls from MIDI files and to them."""

import numpy as np

from zf_keras.extras import optional_import

NOTES = range(21, 109)  # MIDI's numbers of a piano's keys
STEP_SECONDS = 0.3
MAX_FRAMES = 10**7
DRUMS = 9  # MIDI's channel 10
TICKS_PER_SECOND = 50_000


def read_midi(path, step_seconds=STEP_SECONDS):
    """The roll of a MIDI file.

    A note sounds in a frame if it is on at the time at which the frame starts. The last frame is that before the end
    of the file, where notes that are still on end. Drums (channel 10) and notes that a piano has not are left out.

    Args:
        path: path. Of a file of type 0 or 1.
        step_seconds: float. Time from frame to frame. Defaults to `0.3`.

    Returns:
        Array (time, 88) of uint8.

    Raises:
        ImportError: mido is not installed.
        ValueError: the file can't be read, or is of type 2.
    """
    mido = import_mido()
    try:
        file = mido.MidiFile(path)
    except Exception as error:  # mido raises what its parser comes upon, some without a message
        raise ValueError(f"not a whole MIDI file: {str(error) or type(error).__name__}") from error
    if file.type not in (0, 1) or file.ticks_per_beat <= 0:
        raise ValueError(f"MIDI of type 0 or 1 is read, in ticks a beat: type {file.type}, {file.ticks_per_beat} ticks")
    now, since, held = 0.0, {}, []
    for message in file:
        now += message.time
        if message.type in ("note_on", "note_off") and message.channel != DRUMS:
            key = message.channel, message.note
            if key in since:
                held.append((message.note, since.pop(key), now))
            if message.type == "note_on" and message.velocity:
                since[key] = now
    held += [(note, start, now) for (_, note), start in since.items()]

    def frame(seconds):
        """The first that starts then or later, but for rounding."""
        return int(np.ceil(seconds / step_seconds - 1e-6))

    if now / step_seconds > MAX_FRAMES:
        raise ValueError(f"more than {MAX_FRAMES} frames")
    roll = np.zeros((frame(now), len(NOTES)), "uint8")
    for note, start, end in held:
        if note in NOTES:
            roll[frame(start) : frame(end), note - NOTES[0]] = 1
    return roll


def write_midi(roll, path, step_seconds=STEP_SECONDS):
    """Writes a roll (time, 88) of 0 and 1 as MIDI, where frames of a note on end are one that is held.

    `read_midi` with the same step gives the roll back.
    """
    mido = import_mido()
    sounds = np.pad(np.asarray(roll) > 0, ((1, 1), (0, 0)))  # silence around it
    # 120 beats a minute, as where a file says nothing; a beat has TICKS_PER_SECOND / 2.
    track, tempo = mido.MidiTrack(), mido.bpm2tempo(120)
    track.append(mido.MetaMessage("set_tempo", tempo=tempo))
    now = 0
    for i, note in np.argwhere(sounds[1:] != sounds[:-1]):
        ticks = _ticks(i, step_seconds)
        kind = "note_on" if sounds[i + 1, note] else "note_off"
        track.append(mido.Message(kind, note=NOTES[note], time=ticks - now))
        now = ticks
    track.append(mido.MetaMessage("end_of_track", time=_ticks(len(roll), step_seconds) - now))
    mido.MidiFile(type=0, ticks_per_beat=TICKS_PER_SECOND // 2, tracks=[track]).save(path)


def to_wave(roll, step_seconds=STEP_SECONDS, sample_rate=16_000):
    """A roll (time, 88) of 0 and 1 as sound: a decaying tone with two overtones for each note that is held.

    Returns:
        Pair of the samples, (samples,) int16, and `sample_rate`.
    """
    sounds = np.pad(np.asarray(roll) > 0, ((1, 1), (0, 0)))
    starts = [round(i * step_seconds * sample_rate) for i in range(len(roll) + 1)]
    wave = np.zeros(starts[-1])
    fade = round(0.01 * sample_rate)
    for i in range(sounds.shape[1]):
        changes = np.flatnonzero(sounds[1:, i] != sounds[:-1, i])
        hertz = 440 * 2 ** ((NOTES[i] - 69) / 12)
        for start, end in changes.reshape(-1, 2):
            first, last = starts[start], starts[end]
            seconds = np.arange(last - first) / sample_rate
            tone = sum(np.sin(2 * np.pi * hertz * n * seconds) / n**2 for n in (1, 2, 3) if hertz * n < sample_rate / 2)
            edges = np.minimum(np.arange(1, last - first + 1), np.arange(last - first, 0, -1)) / fade
            wave[first:last] += tone * np.exp(-1.5 * seconds) * np.minimum(edges, 1)
    loudest = np.abs(wave).max(initial=0)
    return np.int16(np.rint(wave * (0.8 * 32767 / loudest if loudest else 0))), sample_rate


def _ticks(frame, step_seconds):
    # Rounded down: what is on a moment early is on in its frame, what is late is not.
    return int(frame * step_seconds * TICKS_PER_SECOND)


def import_mido():
    return optional_import("mido", "datasets", "A MIDI file")
