"""What a model is: frozen values, free of torch, that a recipe holds and a fingerprint is taken of.

All are Llamas that differ in the seven projections of each block (q, k, v, o, gate, up, down): `Llama` dense,
`LowRank` two factors (CoLA when activated), `Lost` low rank plus kept channels, `SLTrain` (`models.sltrain`) low rank
plus random entries. A kind is one class: the tensors of a projection `[o, i]`, what that counts and how it
starts are its methods, and `models.build`, `accounting` and `convert` ask them. A further kind is one file with a
subclass and its module, and one line in `models.MODELS`. The vocabulary belongs to the tokenizer and is given
when the module is built.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from models.fields import Typed
from models.shapes import SHAPES, Activation, Shape, check_rank

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Llama(metaclass=Typed):
    """A dense Llama (Touvron et al. 2023): RMSNorm, rotary positions, SwiGLU.

    - `size`: a row of `SHAPES`, such as 1m; the next five replace single entries of it
    - `hidden`: width of the residual stream
    - `inter`: width inside the feed-forward layers
    - `layers`: number of blocks
    - `heads`: number of attention heads
    - `kv_heads`: number of heads of keys and values, which groups of attention heads share; null = as many as `heads`
    - `tied`: the head is the embedding (Press and Wolf 2017)
    - `rope_theta`: base of the rotary positions
    - `norm_eps`: added to the mean square in RMSNorm
    - `init_std`: standard deviation of the initial weights

    Raises ValueError for an unknown size, a width that the heads do not divide, or heads that `kv_heads` does not.
    """

    size: str = field(kw_only=False)
    hidden: int | None = None
    inter: int | None = None
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    tied: bool = False
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    init_std: float = 0.02

    factored: ClassVar[bool] = False  # whether each projection is two factors with `rank` numbers between them
    takes_weights: ClassVar[bool] = True  # whether it may start from trained dense weights
    tensors: ClassVar[tuple[str, ...]] = ("weight",)  # names of a projection's trained tensors, as `shapes` orders them

    def __post_init__(self) -> None:
        if self.size not in SHAPES:
            near = difflib.get_close_matches(self.size, SHAPES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"size: found {self.size!r}, expected one of {', '.join(SHAPES)}{hint}")
        shape = self.shape
        if min(shape) < 1:
            raise ValueError(f"size: widths and counts must be at least 1, found {shape}")
        if shape.hidden % (2 * shape.heads):
            raise ValueError(
                f"heads: hidden {shape.hidden} must be a multiple of 2 x heads ({shape.heads}), "
                "since rotary positions turn pairs of channels"
            )
        if shape.heads % shape.kv_heads:
            raise ValueError(
                f"kv_heads: found {shape.kv_heads}, expected a divisor of heads ({shape.heads}): "
                "groups of one size share their keys and values"
            )

    @property
    def shape(self) -> Shape:
        """The shape after the replacements."""
        row = SHAPES[self.size]
        heads = row.heads if self.heads is None else self.heads
        return Shape(
            row.hidden if self.hidden is None else self.hidden,
            row.inter if self.inter is None else self.inter,
            row.layers if self.layers is None else self.layers,
            heads,
            heads if self.kv_heads is None else self.kv_heads,
        )

    @property
    def dense(self) -> Llama:
        """The dense model of this shape."""
        return Llama(**{one.name: getattr(self, one.name) for one in fields(Llama)})

    @property
    def merges(self) -> bool:
        """Whether an equal dense Llama exists: not when an activation stands between two factors."""
        return True

    @property
    def slow_start(self) -> bool:
        """Whether a projection starts from an SVD, which the processes of a run share out and keep."""
        return False

    def shapes(self, o: int, i: int) -> list[tuple[int, ...]]:
        """Shapes of the trained tensors of a projection `[o, i]`, in the order of the module's parameters."""
        return [(o, i)]

    def indices(self, o: int, i: int) -> int:
        """int64 indices of a projection: buffers, neither trained nor sharded."""
        return 0

    def flops(self, o: int, i: int) -> int:
        """Forward operations of a projection for one token; a multiply-add is 2."""
        return 2 * o * i

    def rebuilds(self, o: int, i: int) -> int:
        """Numbers of the matrix that a projection makes anew in every forward, and keeps for the backward."""
        return 0

    def module(self, o: int, i: int) -> nn.Module:
        """The module of a projection, its tensors unfilled."""
        from torch import nn

        return nn.Linear(i, o, bias=False)

    def start(self, weight: Callable[[], Tensor], o: int, i: int, seed: int, name: str) -> dict[str, Tensor]:
        """How the projection called `name` starts: its tensors by their names in the module. `weight()` gives the dense
        matrix `[o, i]` that every model of this seed draws, or that of a trained model.
        """
        return {"weight": weight()}


@dataclass(frozen=True, kw_only=True)
class LowRank(Llama):
    """Every projection is `B act(A x)`; with `activation="silu"` this is CoLA (Liu et al., arXiv 2502.10940).

    - `rank`: numbers between the two factors of a projection
    - `activation`: what stands between the factors
    - `init`: how the factors begin

    `init="svd"` takes the factors from the dense draw as LOST does, so that a comparison with LOST differs in
    the kept channels only; `init="cola"` draws each factor with standard deviation
    `rank^-1/4 (in + out)^-1/4`.
    """

    rank: int
    activation: Activation = "none"
    init: Literal["svd", "cola"] = "svd"

    factored: ClassVar[bool] = True
    tensors: ClassVar[tuple[str, ...]] = ("A", "B")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rank(self.rank, self.shape)
        check_choice("activation", self.activation, ("silu", "none"))
        check_choice("init", self.init, ("svd", "cola"))

    @property
    def merges(self) -> bool:
        return self.activation == "none"

    @property
    def slow_start(self) -> bool:
        return self.init == "svd"

    def shapes(self, o: int, i: int) -> list[tuple[int, ...]]:
        return [(self.rank, i), (o, self.rank)]

    def flops(self, o: int, i: int) -> int:
        return 2 * self.rank * (i + o)

    def module(self, o: int, i: int) -> nn.Module:
        from models.lost import LostLinear

        return LostLinear(i, o, rank=self.rank, kept=0, gamma=1.0, activation=self.activation)

    def start(self, weight: Callable[[], Tensor], o: int, i: int, seed: int, name: str) -> dict[str, Tensor]:
        from models.lost_init import cola_factors, spectrum, split

        factors = (
            cola_factors(self.rank, o, i, seed, name) if self.init == "cola" else split(spectrum(weight()), self.rank)
        )
        return dict(zip(("A", "B"), factors, strict=True))


@dataclass(frozen=True, kw_only=True)
class Lost(Llama):
    """LOST (Li et al. 2025, arXiv 2508.02668): `y = gamma B act(A x) + (1 - gamma) W_s x[I]`.

    - `rank`: of A and B, for each of the seven projections
    - `density`: share of the input channels kept in I, for each of the seven projections
    - `gamma`: weight of the low-rank part, 0 to 1
    - `activation`: what stands between the factors
    - `select`: how I is chosen. "l2", "l1": largest column norm of the residual after `rank` singular
      directions; "random": a keyed draw, the control; "tail": L2 norm over the *smallest* `sparse_svd_rank`
      directions (ablation).
    - `values`: W_s = the kept columns of the dense draw ("weight", the paper) or of its residual
      ("residual").
    - `sparse_svd_rank`: the residual has this many directions after the first `rank`; None = all of
      them.
    - `channel_multiple`: round the number of kept channels up to a multiple (GEMM efficiency; changes the
      size).
    - `init`: "svd" of the dense draw, or "haar": factors of the same law without an SVD (I is then random).
    - `scale`: "gamma" (the paper), or "exact": the model starts at the best approximation of a given dense
      weight, `B A + residual[:, I]`, instead of at its gamma-weighted mean; with `values="residual"` and no
      activation.
    """

    rank: int
    density: float
    gamma: float = 0.7
    activation: Activation = "silu"
    select: Literal["l2", "l1", "random", "tail"] = "l2"
    values: Literal["weight", "residual"] = "weight"
    sparse_svd_rank: int | None = None
    channel_multiple: int = 1
    init: Literal["svd", "haar"] = "svd"
    scale: Literal["gamma", "exact"] = "gamma"

    factored: ClassVar[bool] = True
    tensors: ClassVar[tuple[str, ...]] = ("A", "B", "W_s")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rank(self.rank, self.shape)
        for name, value in (("density", self.density), ("gamma", self.gamma)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name}: found {value!r}, expected a number from 0 to 1")
        check_choice("activation", self.activation, ("silu", "none"))
        check_choice("select", self.select, ("l2", "l1", "random", "tail"))
        check_choice("values", self.values, ("weight", "residual"))
        check_choice("init", self.init, ("svd", "haar"))
        check_choice("scale", self.scale, ("gamma", "exact"))
        if self.channel_multiple < 1:
            raise ValueError(f"channel_multiple: found {self.channel_multiple}, expected at least 1")
        if self.sparse_svd_rank is not None and self.sparse_svd_rank < 1:
            raise ValueError(f"sparse_svd_rank: found {self.sparse_svd_rank}, expected at least 1 (null: all)")
        if self.select == "tail" and self.sparse_svd_rank is None:
            raise ValueError("select: 'tail' needs sparse_svd_rank, the number of smallest directions")
        if self.init == "haar" and (self.select != "random" or self.values != "weight"):
            raise ValueError("init: 'haar' makes no residual; it needs select='random' and values='weight'")
        if self.scale == "exact" and (self.values, self.activation, self.init) != ("residual", "none", "svd"):
            raise ValueError("scale: 'exact' needs values='residual', activation='none' and init='svd'")

    @property
    def merges(self) -> bool:
        return self.activation == "none"

    def kept(self, width: int) -> int:
        """Number of channels kept of `width`: `max(1, floor(density width))`, rounded up to
        `channel_multiple`.
        """
        if self.density == 0.0:
            return 0
        # the small addend undoes the binary rounding of products such as 0.29 x 100
        count = max(1, math.floor(self.density * width + 1e-9))
        return min(width, -(-count // self.channel_multiple) * self.channel_multiple)

    @property
    def slow_start(self) -> bool:
        return self.init == "svd"

    def shapes(self, o: int, i: int) -> list[tuple[int, ...]]:
        kept = self.kept(i)
        return [(self.rank, i), (o, self.rank), *([(o, kept)] if kept else [])]

    def indices(self, o: int, i: int) -> int:
        return self.kept(i)

    def flops(self, o: int, i: int) -> int:
        return 2 * (self.rank * (i + o) + self.kept(i) * o)

    def module(self, o: int, i: int) -> nn.Module:
        from models.lost import LostLinear

        kept = self.kept(i)
        return LostLinear(i, o, rank=self.rank, kept=kept, gamma=self.gamma, activation=self.activation)

    def start(self, weight: Callable[[], Tensor], o: int, i: int, seed: int, name: str) -> dict[str, Tensor]:
        from models.lost_init import fold, lost_factors

        factors = fold(lost_factors(weight(), self, seed, name), self)
        tensors = {"A": factors.A_ri, "B": factors.B_or, "W_s": factors.W_ok, "I": factors.I_k}
        return tensors if self.kept(i) else {name: tensors[name] for name in ("A", "B")}


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(choices)}")
