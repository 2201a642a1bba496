"""Frames and changes of sounds: what they are, and that they hang on nothing but the sound and the key."""

import numpy as np
import pytest

from stages.speech.changes import OneOf, in_a_room, in_noise, shifted, stretched
from stages.speech.frames import LogMel, mel_filters

RATE = 8000
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def strongest(samples):
    """The strongest frequency in Hz, away from the ends."""
    inner = samples[len(samples) // 8 : -len(samples) // 8]
    return np.abs(np.fft.rfft(inner * np.hanning(len(inner)))).argmax() * RATE / len(inner)


def test_a_frame_is_of_its_own_part_of_the_sound():
    silent = np.zeros(RATE)
    silent[4000:4080] = TONE[:80]  # the 51st of 100 parts
    bands = LogMel(bands=20).energies(silent, RATE)
    assert bands.shape == (100, 20)
    assert bands.sum(1).argmax() == 50
    assert len(LogMel().energies(TONE[:3], RATE)) == 1
    assert len(LogMel(window_ms=5, hop_ms=10).energies(TONE, RATE)) == 100


def test_frames_have_those_beside_them_and_edges_repeat():
    frames = LogMel(bands=5, context=2)
    bands = np.arange(20, dtype=np.float32).reshape(4, 5)
    beside = frames.with_context(bands)
    assert beside.shape == (4, frames.width)
    assert np.array_equal(beside[0].reshape(5, 5), bands[[0, 0, 0, 1, 2]])
    assert np.array_equal(beside[3].reshape(5, 5), bands[[1, 2, 3, 3, 3]])


def test_a_tone_is_heard_in_the_band_around_it():
    filters = mel_filters(30, 101, RATE)
    heard = LogMel(bands=30).energies(TONE + 1e-3 * np.random.default_rng(0).standard_normal(RATE), RATE)
    levels = heard.mean(0) + 0  # the mean of a band over a sound is taken away
    assert np.abs(levels).max() < 1e-5
    assert filters.sum(1).min() > 0, "a band that hears nothing"


def test_a_stretched_sound_is_longer_and_as_high_and_a_shifted_one_as_long_and_higher():
    longer, higher = stretched(TONE, 1.25, RATE), shifted(TONE, 12, RATE)
    assert len(longer) == 10_000
    assert len(higher) == len(TONE)
    assert strongest(longer) == pytest.approx(440, abs=4)
    assert strongest(higher) == pytest.approx(880, abs=8)
    assert np.sqrt((longer[2000:8000] ** 2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    same = stretched(TONE, 1.0, RATE)
    assert np.abs(same - TONE).max() < 1e-6


@pytest.mark.parametrize("decibels", [-3.0, 5.0, 15.0])
def test_noise_is_as_loud_as_was_asked(decibels):
    noise = in_noise(TONE, RATE, decibels, np.random.default_rng(1)) - TONE
    assert 10 * np.log10((TONE**2).sum() / (noise**2).sum()) == pytest.approx(decibels, abs=1e-6)


def test_an_echo_stands_behind_a_sound_and_decays():
    click = np.zeros(RATE)
    click[100] = 1
    heard = in_a_room(click, RATE, 0.5, np.random.default_rng(1))
    assert np.abs(heard[:100]).max() < 1e-12
    assert (heard[101:] ** 2).sum() == pytest.approx(0.5, rel=0.01)
    assert np.abs(heard[3900:4100]).max() < 0.002 * np.abs(heard[101:300]).max() * 2
    assert np.abs(heard[4200:]).max() < 1e-9


def test_a_change_is_drawn_by_its_key_and_within_its_bounds():
    only = OneOf(stretch=(0.5, 0.6), pitch=None, reverb=None, noise=None)
    lengths = [len(only.of(TONE, RATE, f"{n}")) for n in range(30)]
    assert 4000 <= min(lengths) < max(lengths) <= 4800
    every = OneOf()
    one, other = every.of(TONE, RATE, "a"), every.of(TONE, RATE, "b")
    assert np.array_equal(one, every.of(TONE.copy(), RATE, "a"))
    assert len(one) != len(other) or not np.array_equal(one, other)
    kinds = {len(every.of(TONE, RATE, f"{n}")) == RATE for n in range(20)}
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"stretch": None, "pitch": None, "reverb": None, "noise": None}, "no change at all"),
        ({"stretch": (1.2, 0.8)}, "stretch"), ({"reverb": (0.0, 1.0)}, "reverb"), ({"pitch": 40.0}, "pitch"),
    ],
)  # fmt: skip
def test_changes_that_make_no_sense_are_named(fields, found):
    with pytest.raises(ValueError, match=found):
        OneOf(**fields)


@pytest.mark.parametrize("samples", [np.zeros(1), np.zeros(700), np.ones(3)])
def test_short_and_silent_sounds_are_changed_too(samples):
    for n in range(12):
        heard = OneOf().of(samples, RATE, f"{n}")
        assert len(heard) >= 1
        assert np.isfinite(heard).all()
        assert np.isfinite(LogMel().frames(heard, RATE)).all()
