"""Text for a gap, from a model that was trained with `infill` rows: CodeGen2's prompt (Nijkamp et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.generate import TokenSampling, generate

if TYPE_CHECKING:
    from models.llama import LlamaModel
    from models.objectives.infill import Sentinels


def fill_in(
    model: LlamaModel,
    gaps: Sequence[tuple[Sequence[int], Sequence[int]]],
    tokens: int,
    sentinels: Sentinels,
    *,
    sampling: TokenSampling,
    seed: int = 0,
) -> list[list[int]]:
    """Ids for each gap between (ids before, ids after): at most `tokens`, fewer where the model closes the span.

    The model reads `before <mask_1> after <end> <sep> <mask_1>` and writes until `<eom>`. It must be one that was
    trained causally: the prefix variant would have to see its context from both sides.
    """
    mark = sentinels.masks[0]
    prompts = [[*before, mark, *after, sentinels.end, sentinels.separator, mark] for before, after in gaps]
    return generate(
        model, prompts, tokens, sentinels.end_span, sampling=sampling, seed=seed, begin_id=sentinels.end
    )  # fmt: skip
