r"""The faults planted in the demo corpus, as functions of a key: copies, noise, repetition, boilerplate.

Similarity is the exact Jaccard index over the sets of word 5-grams of the lower-cased text, words being \w+
(Broder 1997, "On the resemblance and containment of documents", with the shingle of FineWeb and others).
"""

import base64
import hashlib
import re
import string
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

SEED = 1

BOILERPLATE = (
    (
        "Home | Products | Support | Downloads | About us | Contact",
        "We use cookies to improve your experience. By staying on this page you accept our cookie policy.",
    ),
    (
        "You are here: Start page > Library > Reading room > Article. Skip to the main content of this page.",
        "Share this article: print, send to a friend, subscribe to our newsletter. All rights reserved.",
    ),
    (
        "Sign in | Register | Forgot your password? | Your basket is empty",
        "Back to top | Terms of use | Privacy policy | Site map | Advertise with us",
    ),
)

MASH_ROWS = ("qwertyuiop", "asdfghjkl;", "zxcvbnm,./", "1234567890")


class Draw:
    """A stream of random values that depends on its key alone: a keyed hash counted up."""

    def __init__(self, *key: object) -> None:
        self.key = hashlib.blake2b(repr((SEED, *key)).encode(), digest_size=16).digest()
        self.count = 0

    def _bits(self) -> int:
        self.count += 1
        return int.from_bytes(hashlib.blake2b(self.count.to_bytes(8, "big"), key=self.key, digest_size=8).digest())

    def unit(self) -> float:
        """A float of [0, 1)."""
        return (self._bits() >> 11) / 2**53

    def below(self, n: int) -> int:
        return int(self.unit() * n)

    def between(self, low: int, high: int) -> int:
        """An integer of low..high, both included."""
        return low + self.below(high - low + 1)

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]


def shingles(text: str) -> set[tuple[str, ...]]:
    """The set of word 5-grams of the lower-cased text."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def jaccard(a: str, b: str) -> float:
    """Exact Jaccard index of two texts' word 5-grams; 0 when neither has one."""
    one, two = shingles(a), shingles(b)
    return len(one & two) / len(one | two) if one or two else 0.0


def near_copy(text: str, low: float, target: float, vocabulary: Sequence[str], draw: Draw) -> str | None:
    """Substitute, delete and insert single words until the Jaccard index with `text` is in [low, target]."""
    parts = re.split(r"(\w+)", text)
    for _ in range(400):
        at = 1 + 2 * draw.below(len(parts) // 2)
        edited, kind = list(parts), draw.below(3)
        word = draw.pick(vocabulary)
        edited[at] = {0: word, 1: "", 2: f"{parts[at]} {word}"}[kind]
        if kind == 1 and edited[at + 1].startswith(" "):
            edited[at + 1] = edited[at + 1][1:]
        candidate = "".join(edited)
        similarity = jaccard(text, candidate)
        if similarity < low or similarity == 1.0:
            continue
        parts = re.split(r"(\w+)", candidate)
        if similarity <= target:
            return candidate
    return None


def same_words(text: str, draw: Draw) -> str:
    """The same words in the same order, but not the same bytes: capitals, white space, punctuation differ."""
    style = draw.below(4)
    if style == 0:
        return re.sub(r"(?<=[.?!]) ", "  ", text).replace("\n\n", "\n \n") + "\n"
    if style == 1:
        return re.sub(r"\b[A-Z]", lambda m: m[0].lower(), text).replace(";", ",") + " "
    if style == 2:
        words = text.split(" ")
        return "\r\n".join(" ".join(words[at : at + 12]) for at in range(0, len(words), 12))
    return re.sub(r"(?m)^(\w+)", lambda m: m[0].upper(), text).replace(", ", " - ").replace("'", "’") + "\n"


def gibberish(number: int, prose: str) -> str:
    """Noise by one of ten generators; `prose` is what cipher and mojibake (UTF-8 read as Latin-1) garble."""
    draw = Draw("gibberish", number)
    size = draw.between(60, 85)

    def tokens(make: Callable[[], str], joint: str = " ", count: int = size) -> str:
        return joint.join(make() for _ in range(count))

    def letters(alphabet: str, low: int, high: int) -> str:
        return "".join(draw.pick(alphabet) for _ in range(draw.between(low, high)))

    def mash() -> str:
        row, at, out = draw.pick(MASH_ROWS[:3]), draw.below(10), ""
        for _ in range(draw.between(3, 9)):
            out, at = out + row[at % 10], at + draw.pick((-1, 1, 1, 2))
        return out

    def blob() -> str:
        return base64.b64encode(bytes(draw.below(256) for _ in range(27))).decode()

    def dump() -> str:
        octets = " ".join(f"{draw.below(256):02x}" for _ in range(8))
        return f"{draw.below(2**16):08x}  {octets}"

    def reading() -> str:
        clock = f"{draw.below(24):02}:{draw.below(60):02}"
        return f"{clock} {draw.unit() * 100:.3f} {draw.below(10**6)} 0x{draw.below(2**16):04x}"

    def cipher() -> str:
        shift = draw.between(3, 23)
        lower = string.ascii_lowercase
        turned = lower[shift:] + lower[:shift]
        table = str.maketrans(lower + lower.upper(), turned + turned.upper())
        return prose.translate(table)

    def mojibake() -> str:
        return prose.encode().decode("latin-1")

    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    generators: tuple[Callable[[], str], ...] = (
        lambda: tokens(lambda: letters(string.ascii_lowercase, 2, 9)),
        lambda: tokens(mash),
        lambda: tokens(blob, "\n", 8),
        lambda: tokens(dump, "\n", 12),
        lambda: tokens(lambda: letters("#@$%&*+=<>/|~^!?", 1, 6)),
        lambda: tokens(reading, "\n", 20),
        lambda: tokens(lambda: "".join(draw.pick(syllables) for _ in range(draw.between(1, 4)))),
        lambda: tokens(lambda: letters(string.ascii_letters + string.digits + ".,-_", 1, 12)),
        cipher,
        mojibake,
    )
    return generators[number % len(generators)]()


def repetition(number: int, prose: str) -> str:
    """Text that repeats itself, by one of five habits; `prose` gives the words (>= 60)."""
    draw = Draw("repetition", number)
    words, lines = prose.split(), [" ".join(prose.split()[at : at + 8]) for at in range(0, 56, 8)]
    style = number % 5
    if style == 0:
        return "\n".join([lines[0]] * draw.between(12, 30))
    if style == 1:
        return "\n\n".join([" ".join(words[: draw.between(30, 50)])] * draw.between(4, 8))
    if style == 2:
        return " ".join([" ".join(words[: draw.between(3, 8)])] * draw.between(20, 40))
    if style == 3:
        loop = " ".join(words[30 : 30 + draw.between(6, 14)])
        return " ".join(words[:30] + [loop] * draw.between(10, 25))
    return "\n".join(line for _ in range(draw.between(5, 9)) for line in lines[:4])
