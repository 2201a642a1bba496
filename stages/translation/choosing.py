"""Which exemplars stand in the set of a language: a keyed draw, even over scripts, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from pipeline.errors import DataError
from stages.chance import draws


class Exemplar(NamedTuple):
    """A pair of the bank, and how it is written in a prompt."""

    id: str
    lang: str
    source: str
    target: str
    text: str


class WantedSet(NamedTuple):
    """The set of a language: the fields of `Exemplars`, and the script that the language is written in."""

    lang: str
    script: str | None
    out_of: Literal["others", "own"]
    k: int
    scripts: int
    seed: int


class TokenBudget(NamedTuple):
    """So many tokens, as a model counts them."""

    most: int
    tokens: Callable[[str], int]


def choose(
    bank: Sequence[Exemplar], scripts: Mapping[str, str | None], how: WantedSet, budget: TokenBudget
) -> list[Exemplar]:
    """The set of a language, in the order in which it is shown. Raises DataError where the bank has not what it takes.

    The scripts come in the order of the draw of the first exemplar that each has within the budget. Then one exemplar
    of each in turn, as long as there is room.
    """
    queues: dict[str, list[Exemplar]] = {}
    for exemplar in bank:
        script = scripts[exemplar.lang]
        if how.out_of == "own":
            if exemplar.lang == how.lang:
                queues.setdefault("", []).append(exemplar)
        elif exemplar.lang != how.lang and script not in (None, how.script):
            queues.setdefault(str(script), []).append(exemplar)
    wanted = 1 if how.out_of == "own" else how.scripts
    share = budget.most // wanted  # of each script's first exemplar, so that none takes the room of another
    firsts: list[tuple[int, list[Exemplar]]] = []
    for script in sorted(queues):
        drawn = _drawn(queues[script], how)
        first = next((at for at, (_, each) in enumerate(drawn) if budget.tokens(each.text) <= share), None)
        if first is not None:
            firsts.append((drawn[first][0], [each for _, each in drawn[first:]]))
    if len(firsts) < wanted:
        raise _too_few(how, budget, share, sorted(queues), len(firsts))
    return _in_turn([line for _, line in sorted(firsts, key=lambda one: one[0])[:wanted]], how.k, budget)


def _drawn(exemplars: Sequence[Exemplar], how: WantedSet) -> list[tuple[int, Exemplar]]:
    numbers = draws([each.id for each in exemplars], how.seed, f"exemplars {how.lang}").tolist()
    return sorted(zip(numbers, exemplars, strict=True))


def _in_turn(lines: Sequence[list[Exemplar]], k: int, budget: TokenBudget) -> list[Exemplar]:
    chosen: list[Exemplar] = []
    used = 0
    while len(chosen) < k and any(lines):
        for line in lines:
            while line and len(chosen) < k:
                exemplar = line.pop(0)
                size = budget.tokens(exemplar.text)
                if used + size <= budget.most:
                    chosen.append(exemplar)
                    used += size
                    break
    return chosen


def _too_few(how: WantedSet, budget: TokenBudget, share: int, there: list[str], usable: int) -> DataError:
    if how.out_of == "own":
        found = f"{'no pair' if not there else f'no pair within {share} tokens'} of {how.lang!r}"
        return DataError("exemplars.bank", found, "pairs of each language of the documents", "siftloom status")
    names = ", ".join(there) or "none"
    found = f"for {how.lang!r}, written in {how.script}, a bank of {len(there)} other scripts ({names})"
    if len(there) >= how.scripts:
        found += f", of which {usable} have an exemplar within {share} tokens ({budget.most} for {how.scripts})"
    return DataError("exemplars.bank", found, f"{how.scripts} scripts", "add languages to the bank, or ask for fewer")
