"""The LOST layer against plain autograd, brute-force forms of the same map, and its own promises about
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import memory
from models.attention import Attention
from models.batch import Batch
from models.build import build
from models.llama import SwiGLU
from models.lost import LostFunction, LostLinear
from models.memory import saved_projection_bytes
from models.objective import CrossEntropy
from models.presets import Llama, Lost
from models.projection import NotMergeable
from models.shapes import Activation, Shape

IN, OUT, RANK, KEPT = 13, 11, 4, 3


def layer(activation: Activation = "silu", kept: int = KEPT, dtype: torch.dtype = torch.float64) -> LostLinear:
    generator = torch.Generator().manual_seed(3)
    made = LostLinear(IN, OUT, rank=RANK, kept=kept, gamma=0.7, activation=activation).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(generator=generator)
        if made.I is not None:
            made.I.copy_(torch.randperm(IN, generator=generator)[:kept].sort().values)
    return made


def act(made: LostLinear, h: Tensor) -> Tensor:
    return F.silu(h) if made.activation == "silu" else h


def gather(made: LostLinear, x: Tensor) -> Tensor:
    return F.linear(act(made, F.linear(x, made.A)), made.B) + F.linear(x[..., made.I], made.W_s)


def scatter(made: LostLinear, x: Tensor) -> Tensor:
    sparse = torch.zeros(OUT, IN, dtype=x.dtype).index_copy(1, made.I, made.W_s)
    return F.linear(act(made, F.linear(x, made.A)), made.B) + F.linear(x, sparse)


def concat(made: LostLinear, x: Tensor) -> Tensor:
    z = torch.cat([act(made, F.linear(x, made.A)), x[..., made.I]], -1)
    return F.linear(z, torch.cat([made.B, made.W_s], -1))


def unfolded(made: LostLinear, x: Tensor) -> Tensor:
    """The paper's equation, gamma in the forward."""
    B, W_s = made.B / made.gamma, made.W_s / (1 - made.gamma)
    low = F.linear(act(made, F.linear(x, made.A)), B)
    return made.gamma * low + (1 - made.gamma) * F.linear(x[..., made.I], W_s)


def outputs(form, made: LostLinear, x: Tensor) -> list[Tensor]:
    """Result and all gradients under a fixed upstream gradient."""
    x = x.clone().requires_grad_()
    y = form(made, x)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y, *torch.autograd.grad(y, [x, *made.parameters()], upstream)]


@pytest.mark.parametrize("form", [gather, scatter, concat, unfolded])
@pytest.mark.parametrize("activation", ["silu", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_brute_force_forms_agree_in_values_and_all_gradients(form, activation, dtype, tolerance) -> None:
    made = layer(activation, dtype=dtype)
    x = torch.randn(5, 7, IN, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(outputs(LostLinear.forward, made, x), outputs(form, made, x), strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_bf16_stays_within_its_own_rounding() -> None:
    made = layer(dtype=torch.float32)
    x = torch.randn(64, IN, generator=torch.Generator().manual_seed(0))
    exact = outputs(gather, made, x)
    rounded = outputs(LostLinear.forward, made.to(torch.bfloat16), x.bfloat16())
    for ours, theirs in zip(rounded, exact, strict=True):
        assert (ours.float() - theirs).norm() <= 2e-2 * theirs.norm()


def test_autocast_computes_in_bf16_and_returns_gradients_in_fp32() -> None:
    made = layer(dtype=torch.float32)
    x = torch.randn(64, IN, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = made(x)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16
    assert {x.grad.dtype, *(p.grad.dtype for p in made.parameters())} == {torch.float32}


@pytest.mark.parametrize("activation", ["silu", "none"])
@pytest.mark.parametrize("shape", [(6, IN), (2, 3, IN), (0, IN)])
@pytest.mark.parametrize("kept", [KEPT, 0])
def test_gradcheck(activation, shape, kept) -> None:
    made = layer(activation, kept)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    W_s = made.W_s

    def form(x: Tensor, A: Tensor, B: Tensor, *rest: Tensor) -> Tensor:
        flat = x.reshape(-1, IN)
        return LostFunction.apply(flat, A, B, rest[0] if rest else None, made.I, activation == "silu")

    assert torch.autograd.gradcheck(form, [x, made.A, made.B, *([] if W_s is None else [W_s])])


def test_frozen_parts_get_no_gradient_and_leave_the_others_theirs() -> None:
    made = layer()
    x = torch.randn(5, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made(x).square().sum().backward()
    expected = made.W_s.grad.clone()
    made.zero_grad()
    made.A.requires_grad_(False)
    made(x).square().sum().backward()
    assert made.A.grad is None
    assert torch.equal(made.W_s.grad, expected)


def test_merge_is_the_same_map_without_activation_and_refused_with_one() -> None:
    made = layer("none")
    x = torch.randn(5, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(F.linear(x, made.merge()), made(x), rtol=0, atol=1e-12)
    with pytest.raises(NotMergeable, match="activation='silu'"):
        layer("silu").merge()


class Shapes(TorchDispatchMode):
    """Collects the shapes of all tensors that operators return."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= {tuple(leaf.shape) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        return result


@pytest.mark.parametrize("activation", ["silu", "none"])
def test_no_dense_matrix_is_made_in_forward_or_backward(activation) -> None:
    made = layer(activation)
    x = torch.randn(2, 3, IN, dtype=torch.float64).requires_grad_()
    with Shapes() as shapes:
        made(x).sum().backward()
    assert (RANK, IN) in shapes.seen, "the scan sees the backward"
    assert not {(OUT, IN), (IN, OUT)} & shapes.seen


@contextmanager
def saved_bytes(parameters: set[int]) -> Iterator[list[int]]:
    """Bytes that autograd keeps inside the block, each storage once, parameters and buffers left out."""
    total, seen = [0], set(parameters)

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage().data_ptr()
        if key not in seen:
            seen.add(key)
            total[0] += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


@pytest.mark.parametrize("activation", ["silu", "none"])
def test_a_layer_keeps_its_input_and_the_factor_only(activation) -> None:
    made = layer(activation)
    x = torch.randn(50, IN, dtype=torch.float64).requires_grad_()
    own = {t.untyped_storage().data_ptr() for t in [*made.parameters(), *made.buffers()]}
    with saved_bytes(own) as total:
        y = made(x)
    assert total[0] == 8 * 50 * (IN + RANK)
    assert y.shape == (50, OUT)


def test_projections_of_a_block_keep_what_the_accounting_says() -> None:
    config = Lost("1m", rank=16, density=0.05)
    shape: Shape = config.shape
    made: list[LostLinear] = []

    def linear(name: str, in_width: int, out_width: int) -> LostLinear:
        kept = config.kept(in_width)
        one = LostLinear(in_width, out_width, rank=16, kept=kept, gamma=0.7, activation="silu")
        made.append(one)
        return one

    Attention(shape, linear)
    SwiGLU(shape.hidden, shape.inter, linear)
    for parameter in (p for one in made for p in one.parameters()):
        torch.nn.init.zeros_(parameter)
    tokens = 20
    inputs = {"qkv": torch.randn(tokens, 128), "o": torch.randn(tokens, 128)}
    inputs |= {"gate up": torch.randn(tokens, 128), "down": torch.randn(tokens, 352)}
    own = {t.untyped_storage().data_ptr() for one in made for t in [*one.parameters(), *one.buffers()]}
    with saved_bytes(own) as total:
        q, k, v, o, gate, up, down = made
        kept_alive = [one(inputs["qkv"]) for one in (q, k, v)] + [o(inputs["o"])]
        kept_alive += [gate(inputs["gate up"]), up(inputs["gate up"]), down(inputs["down"])]
    assert total[0] == saved_projection_bytes(config, tokens, 4)
    assert len(kept_alive) == 7


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("form", ["kept", "fused", "chunked"])
@pytest.mark.parametrize(
    "config",
    [Llama("1m", layers=2), Lost("1m", layers=2, rank=16, density=0.05)],
    ids=lambda config: type(config).__name__,
)
def test_a_forward_keeps_what_the_accounting_says(config, form, bf16) -> None:
    words, rows, length = 500, 6, 50
    model = build(config, words, length, seed=0)
    ids = torch.randint(0, words, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    with saved_bytes(own) as total, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        batch = Batch(ids_bt=ids[:, :-1], labels_bt=ids[:, 1:])
        found = model(batch, CrossEntropy(form=form)).loss_bt
    expected = memory.saved_bytes(config, words, rows * length, bf16=bf16, form=form)
    assert total[0] == pytest.approx(expected, rel=0.01)
    assert found.requires_grad


def test_compiles_whole_and_once_for_all_batch_sizes() -> None:
    made = layer(dtype=torch.float32)
    graphs = 0

    def count(graph, example_inputs):
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(made, backend=count, fullgraph=True, dynamic=True)
    for n in (4, 6, 9):
        x = torch.randn(n, IN, generator=torch.Generator().manual_seed(n))
        torch.testing.assert_close(compiled(x), made(x), rtol=0, atol=1e-5)
    assert graphs == 1
