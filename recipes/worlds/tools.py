"""Tools: requests for one of four functions, each of three typed parameters, and talk that asks for none.

A request names what it wants in any order and in words, so a call has to be read out of it. Requests of the `test`
level are hard ones that stand nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
CITIES = "Lyon Porto Turin Bergen Vienna Prague Dublin Athens".split()
ARTISTS = "Bach Haydn Mozart Verdi Chopin Grieg Dvorak Satie".split()
LABELS = "bread tea run mail pills call bus lunch".split()


class Function(NamedTuple):
    """What is asked for, the names of the three parameters and the values of the first, and how the second and the two
    values of the third are said.
    """

    asked: str
    names: tuple[str, str, str]
    values: Sequence[str]
    number: str
    true: str
    false: str


FUNCTIONS = {
    "weather": Function(
        "the weather", ("city", "days", "metric"), CITIES, "for {} days", "in Celsius", "in Fahrenheit"
    ),
    "hotel": Function(
        "a room", ("city", "nights", "breakfast"), CITIES, "for {} nights", "with breakfast", "without breakfast"
    ),
    "music": Function("some music", ("artist", "volume", "shuffle"), ARTISTS, "at level {}", "shuffled", "in order"),
    "alarm": Function("an alarm", ("label", "hour", "daily"), LABELS, "at {}", "every day", "only once"),
}  # fmt: skip
BEFORE = {"city": "in {}", "artist": "by {}", "label": "for {}"}
TALK = ("I like {}", "{} was fine", "thanks for {}", "who knows {}", "tell me of {}", "I never saw {}")
NO_TOOL = "no tool"
EASY, HARD, TEST, TALKS = 500, 700, 200, 0.15
TESTED = "test"


def rows() -> Iterator[dict[str, Any]]:
    """Requests of three levels with their right calls, none twice."""
    draw, seen = random.Random("tools"), set[str]()
    for level, number in (("easy", EASY), ("hard", HARD), (TESTED, TEST)):
        made = 0
        while made < number:
            request, call = _talk(draw) if draw.random() < TALKS else _request(draw, easy=level == "easy")
            # of talk there is not enough for every row to be another one
            if request in seen and call != NO_TOOL:
                continue
            seen.add(request)
            yield {
                "id": f"{level}:{made}", "text": call, "source": "tools", "request": request, "level": level,
                "asked": f"{request}\n", "expected": call, "kind": "talk" if call == NO_TOOL else "call",
                "function": call.partition("(")[0],
            }  # fmt: skip
            made += 1


def _request(draw: random.Random, *, easy: bool) -> tuple[str, str]:
    name = draw.choice(list(FUNCTIONS))
    function, value = FUNCTIONS[name], draw.choice(FUNCTIONS[name].values)
    number, truth = draw.choice(list(NUMBERS)), draw.random() < 0.5
    said = f"{number}" if easy or draw.random() < 0.5 else NUMBERS[number]
    first, last = BEFORE[function.names[0]].format(value), function.true if truth else function.false
    parts = [first, function.number.format(said), last]
    if not easy:
        draw.shuffle(parts)
    values = (f'"{value}"', number, truth)
    call = ", ".join(f"{each}={value}" for each, value in zip(function.names, values, strict=True))
    return " ".join([function.asked, *parts]), f"{name}({call})"


def _talk(draw: random.Random) -> tuple[str, str]:
    return draw.choice(TALK).format(draw.choice([*CITIES, *ARTISTS, *LABELS])), NO_TOOL


def turned(table: pa.Table, seed: int = 0) -> Mapping[str, list[Any]]:
    """For `map`, the control of random pairs: which of two steps is the chosen one, drawn by the pair's id."""
    ids, sides = table["id"].to_pylist(), [table[name].to_pylist() for name in ("chosen_ids", "rejected_ids")]
    kept = [random.Random(f"turned/{seed}/{name}").random() < 0.5 for name in ids]
    pairs = [pair if keep else pair[::-1] for keep, pair in zip(kept, zip(*sides, strict=True), strict=True)]
    return {"left_ids": [one for one, _ in pairs], "right_ids": [other for _, other in pairs]}
