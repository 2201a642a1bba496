"""The probability that a text is of the language that it should be of, by a fastText model or a classifier of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.contract import ONE, Context
from pipeline.errors import DataError
from stages.clean.languages import nearest, same
from stages.fasttext_models import LABEL, bundled_language_model, load, load_field, predict
from stages.quality.lines import Normaliser

MAX_CHARS = 1000
Identify = Callable[[Sequence[str], Sequence[str | None]], list[float]]


def open_identify(ctx: Context, place: str, classifier: bool, own: bool) -> Identify:
    """From texts and the languages expected of them to probabilities. The model is that of the field `classifier`, of
    the field `model`, or lid.176.
    """
    if classifier:
        card = ctx.read_json("train", of="classifier")
        normaliser = Normaliser(**card["normaliser"])
        model = load(ctx.path("train", ONE[0], ".bin", of="classifier"))
    else:
        normaliser = None
        model = load_field(ctx, "model") if own else load(bundled_language_model())
    return identify(model, place, normaliser)


def identify(model: Any, place: str, normaliser: Normaliser | None = None) -> Identify:
    """What asks a model. A text that is too short for its classifier, or of no expected language, has 0."""
    labels = [label.removeprefix(LABEL) for label in model.get_labels()]
    known: dict[str, set[str]] = {}

    def named(code: str) -> set[str]:
        if code not in known:
            known[code] = {label for label in labels if same(code, label)}
            if not known[code]:
                meant = nearest(code, labels)
                found = f"no language {code!r} among those of the model"
                raise DataError(place, found + (f"; did you mean {meant!r}?" if meant else ""), "labels of the model")
        return known[code]

    def lines(texts: Sequence[str]) -> list[str | None]:
        if normaliser is None:
            return [" ".join(text[:MAX_CHARS].split()) for text in texts]
        import pyarrow as pa

        return normaliser.lines(pa.chunked_array([pa.array(texts, pa.string())]))

    def asked(texts: Sequence[str], expected: Sequence[str | None]) -> list[float]:
        usable = [(at, line) for at, line in enumerate(lines(texts)) if line and expected[at]]
        found = [0.0] * len(texts)
        names, shares = predict(model, [line for _, line in usable], k=-1)
        for (at, _), of, probabilities in zip(usable, names, shares, strict=True):
            mine = named(str(expected[at]))
            found[at] = min(sum(p for name, p in zip(of, probabilities, strict=True) if name in mine), 1.0)
        return found

    return asked
