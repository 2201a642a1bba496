"""Files that are no sounds, or lie about what they hold: each is refused with its name, the place and the value."""

from __future__ import annotations

import io
import math
import struct

import numpy as np
import pytest
import soundfile
from run_here import Here

from pipeline.errors import DataError, RecipeError, SourceDamaged, SourceError
from siftloom import stages as s
from stages.speech import sound
from stages.speech.frames import AT_ONCE, LogMel

RATE = 8000
TONE = (0.3 * np.sin(np.arange(2 * RATE))).astype("<f4")


def wav(samples=TONE, channels=1, rate=RATE, length=None) -> bytes:
    """A WAV file of floats whose head says what is asked."""
    data = samples.astype("<f4").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, channels, rate, 0, (4 * channels) & 0xFFFF, 32)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data) if length is None else length) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(seconds: int, samples: int | None = None) -> bytes:
    """A FLAC file of silence; `samples`: what its head says."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(RATE * seconds), RATE, format="FLAC")
    content = bytearray(file.getvalue())
    if samples is not None:
        content[21] = (content[21] & 0xF0) | samples >> 32
        content[22:26] = (samples & 2**32 - 1).to_bytes(4, "big")
    return bytes(content)


def with_sample(value: float) -> bytes:
    found = TONE.copy()
    found[777] = value
    return wav(found)


HEADS = {
    "nothing": (b"", "no sound that can be read"),
    "a text": (b"no sound", "no sound that can be read"),
    "no sample": (wav(TONE[:0]), "a sound without samples"),
    "0 Hz": (wav(rate=0), "a head of 1 channels at 0 Hz"),
    "2**31 Hz": (wav(rate=2**31), "a head of 1 channels at 2,147,483,648 Hz"),
    "2**31 - 1 Hz": (wav(rate=2**31 - 1), "2,147,483,647 samples per second"),
    "0 channels": (wav(channels=0), "a head of 0 channels at 8,000 Hz"),
    "65,535 channels": (wav(channels=65_535), "a head of 65,535 channels at 8,000 Hz"),
    "a longer length": (wav(length=len(TONE) * 8), "64,000 bytes of the 128,000 that its head promises"),
    "4 GB": (wav(length=2**32 - 16), "64,000 bytes of the 4,294,967,280 that its head promises"),
    "FLAC of no known length": (flac(1, 0), "a sound of 9,223,372,036,854,775,807 samples"),
    "FLAC of 2**36 samples": (flac(1, 2**36 - 1), "a sound of 68,719,476,735 samples"),
}
SAMPLES = {
    "NaN": (with_sample(math.nan), "sample 777 is NaN"),
    "inf": (with_sample(math.inf), "sample 777 is inf"),
    "-inf": (with_sample(-math.inf), "sample 777 is -inf"),
    "3e38": (with_sample(3e38), r"sample 777 is 3e\+38"),
    "FLAC of more samples": (flac(2, RATE * 9), "no sound that can be read"),
}


def audio(folder, content: bytes, **fields):
    folder.mkdir(exist_ok=True)
    (folder / "good.wav").write_bytes(wav())
    (folder / "odd.wav").write_bytes(content)
    return s.Audio(paths=(str(folder),), rate=RATE, **fields)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_cannot_be_is_refused_when_sounds_are_listed(name, tmp_path):
    content, words = HEADS[name]
    with pytest.raises((SourceError, SourceDamaged), match=rf"odd\.wav: .*{words}"):
        Here(audio(tmp_path / "in", content), tmp_path / "store")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_that_is_no_number_is_named_by_file_place_and_value(name, tmp_path):
    content, words = SAMPLES[name]
    model = s.TrainUnits(docs=audio(tmp_path / "in", content), k=4, rounds=0)
    with pytest.raises((DataError, SourceDamaged), match=rf"odd\.wav: .*{words}"):
        Here(model, tmp_path / "store")


@pytest.mark.parametrize("content", [wav(TONE[:1]), wav(length=2**32 - 1), wav(TONE, channels=2)])
def test_one_sample_and_what_was_written_into_a_pipe_are_sounds(content, tmp_path):
    Here(s.TrainUnits(docs=audio(tmp_path / "in", content), k=4, rounds=0), tmp_path / "store")


def test_a_rate_that_no_microphone_has_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(RecipeError, match="rate"):
        s.Audio(paths=(str(tmp_path),), rate=2**31)


def test_a_sound_is_decoded_part_by_part_and_its_frames_are_the_same(tmp_path, monkeypatch):
    both = np.stack([TONE, -2 * TONE], 1)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    nodes = [s.Audio(paths=(str(tmp_path / "a.wav"),), rate=RATE)]
    found = []
    for at_once in (sound.AT_ONCE, 1000):
        monkeypatch.setattr(sound, "AT_ONCE", at_once)
        model = s.TrainUnits(docs=nodes[0], k=4, rounds=0)
        found.append(Here(model, tmp_path / f"store-{at_once}").files("frames"))
    assert found[0] == found[1]
    frames = LogMel(bands=4, hop_ms=1)
    long = np.tile(TONE, 3 * AT_ONCE * 8 // len(TONE) + 1).astype(np.float64)
    whole = frames.energies(long, RATE)
    monkeypatch.setattr("stages.speech.frames.AT_ONCE", len(whole))
    assert np.array_equal(whole, frames.energies(long, RATE))
