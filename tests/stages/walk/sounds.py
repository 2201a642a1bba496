"""A graph of sounds, their units, and trees of answers to what is said; and folders whose files are sounds."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Node
from siftloom import stages as s
from stages.speech.changes import OneOf
from stages.speech.frames import LogMel
from stages.tools.reward import Reward
from tests.stages.walk.files import Files

RATE = 8000
HEAD = 44  # bytes of a WAV file before its samples
SOUNDS, BESIDE = (".wav", ".flac"), (".txt", ".phn")

CHOICES: dict[str, tuple[Any, ...]] = {
    "sound_order": ("web more", "more web", "web"),
    "shard_files": (1, 3, 256),
    "units": (3, 4),
    "units_seed": (0, 1),
    "views": (1, 2),
    "unit_steps": (2, 3),
    "bands": (6, 8),
    "round": (0, 1),
    "smooth": (1, 3),
    "noise": ((0.0, 5.0), (5.0, 10.0)),
    "speaker": (None, "text"),
    "said": ("seconds > 0.3", "seconds > 0.2 or not held_out"),
    "branch": (2, 3),
    "depth": (1, 2),
    "tree_rows": (2, 64),
    "tree_seed": (0, 1),
    "gap": (0.05, 0.2),
}


@dataclass(frozen=True, kw_only=True)
class ShareOfVowels(Reward):
    """What answers of an untrained model differ in."""

    def score(self, answer, row):
        return sum(letter in "aeiou" for letter in answer) / max(1, len(answer))


def sounds(of: Any, folder: Path) -> dict[str, Node]:
    """Sounds and their units, at their distance; units as a language; trees over what is said."""
    bases = tuple(
        s.Audio(paths=(str(folder / name),), rate=RATE, shard_files=of["shard_files"])
        for name in of["sound_order"].split()
    )
    marked: Any = s.Split(docs=bases, held_out=of["held_out"], seed=of["seed"], allow_empty=True)
    model = s.TrainUnits(
        docs=marked, k=of["units"], rounds=1, frames=LogMel(bands=of["bands"], context=1), views=of["views"],
        steps=of["unit_steps"], batch=2, hidden=4, seed=of["units_seed"],
    )  # fmt: skip
    some = s.Select(docs=marked, where=of["said"], allow_empty=True)
    clean = s.SpeechUnits(docs=some, model=model, round=of["round"], as_="clean")
    noise = OneOf(stretch=None, pitch=None, reverb=None, noise=of["noise"])
    changed = s.SpeechUnits(
        docs=clean, model=model, round=of["round"], smooth=of["smooth"], change=noise, seed=of["seed"], as_="changed"
    )
    distance = s.UnitDistance(docs=changed, clean="clean", changed="changed", by=of["speaker"], resamples=100)
    packed = s.Pack(docs=changed, tokenizer=s.NumberVocabulary(size=of["units"]), length=of["length"], ids="clean")
    trees = s.StepTree(
        docs=some, model=s.ModelFolder(paths=(f"{folder / 'model'}/*",)), prompt="{text}", reward=ShareOfVowels(),
        boundaries=("t", " "), branch=of["branch"], depth=of["depth"], rollouts=1, expansions=2, max_tokens=4,
        batch_rows=of["tree_rows"], seed=of["tree_seed"], gap=of["gap"], allow_empty=True,
    )  # fmt: skip
    return {
        "marked": marked, "model": model, "some": some, "changed": changed, "distance": distance, "packed": packed,
        "trees": trees,
    }  # fmt: skip


class SoundFiles(Files):
    """A folder of short sounds with their phones beside them, some with a transcript. What happens to a sound may leave
    those behind.
    """

    def all(self) -> list[Path]:
        return [path for path in super().all() if path.suffix in SOUNDS]

    def beside(self, path: Path) -> list[Path]:
        """What belongs to a sound: all of it mostly, else nothing."""
        if self.rng.random() < 0.2:
            return []
        return [found for ending in BESIDE if (found := path.with_suffix(ending)).exists()]

    def write(self, path: Path) -> None:
        """A piece of a sound of the world of voices, from one phone to another."""
        import numpy as np
        import soundfile

        from recipes.worlds.voices import sounds

        said = list(sounds(8))[self.rng.randrange(8)]
        first = self.rng.randrange(len(said.phones) - 4)
        phones = said.phones[first : first + self.rng.randint(2, 4)]
        start = sum(length for _, length in said.phones[:first])
        stops = np.cumsum([length for _, length in phones]).tolist()
        soundfile.write(path, said.samples[start : start + stops[-1]], RATE, subtype="PCM_16")
        lines = zip([0, *stops[:-1]], stops, phones, strict=True)
        path.with_suffix(".phn").write_text("".join(f"{begin} {end} {phone}\n" for begin, end, (phone, _) in lines))

    # changes ---------------------------------------------------------------------------------------------------------

    def add(self) -> str:
        where = self.rng.choice(("front", "middle", "end"))
        path = self.folder / self.name(where, self.rng.choice(SOUNDS)[1:])
        self.write(path)
        if self.rng.random() < 0.5:
            path.with_suffix(".txt").write_text(self.text())
        return f"add {path.name} ({where})"

    def copy(self) -> str:
        path = self.one()
        other = self.folder / self.name("middle", path.suffix[1:])
        for each in (path, *self.beside(path)):
            shutil.copyfile(each, other.with_suffix(each.suffix))
        return f"copy {path.name} to {other.name}"

    def remove(self) -> str:
        if len(self.all()) < 3:
            return self.add()
        path = self.rng.choice((self.all()[0], self.one(), self.all()[-1]))
        for each in (path, *self.beside(path)):
            each.unlink()
        return f"remove {path.name}"

    def rename(self) -> str:
        path = self.one()
        other = self.folder / self.name(self.rng.choice(("front", "middle", "end")), path.suffix[1:])
        for each in (path, *self.beside(path)):
            each.rename(other.with_suffix(each.suffix))
        return f"rename {path.name} to {other.name}"

    def edit(self) -> str:
        path = self.one()
        self.write(path)
        return f"edit {path.name}"

    def edit_alike(self) -> str:
        """Another sound of the same length, with the old modification time, in the same inode."""
        plain = [path for path in self.all() if path.suffix == ".wav"]
        if not plain:
            return self.edit()
        path = self.rng.choice(plain)
        before, data = path.stat(), bytearray(path.read_bytes())
        data[HEAD:] = bytes(byte ^ 0x10 for byte in data[HEAD:])
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"edit {path.name} with its size and time kept"

    def retell(self) -> str:
        """Another transcript, or none any more."""
        path = self.one().with_suffix(".txt")
        if path.exists() and self.rng.random() < 0.5:
            path.unlink()
            return f"remove {path.name}"
        path.write_text(self.text())
        return f"write {path.name}"

    def realign(self) -> str:
        """Other phones, or none any more."""
        path = self.one().with_suffix(".phn")
        if not path.exists() or self.rng.random() < 0.5:
            path.write_text("0 400 a\n400 800 m\n")
            return f"write {path.name}"
        path.unlink()
        return f"remove {path.name}"

    CHANGES = (
        add, add, copy, remove, rename, edit, edit_alike, edit_alike, retell, retell, realign, Files.swap, Files.touch,
    )  # fmt: skip
