"""Small models of every first-party architecture, and comparisons in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel

ITEMS = 30


def fresh(
    architecture: str, seed: int = 0, items: int = ITEMS, **settings: object
) -> SequenceModel:
    torch.manual_seed(seed)
    vocabulary = Vocabulary([f"item-{index}" for index in range(1, items + 1)])
    return SequenceModel.build(architecture, settings, vocabulary)


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with noise N(0, 0.3^2) on all parameters: zeros and ones would hide mistakes."""
    draw = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter += 0.3 * noise
    return module


@pytest.fixture
def make() -> Callable[..., SequenceModel]:
    """``make("sasrec", num_layers=1)``: a small untrained model."""

    def make(architecture: str, seed: int = 0, **settings: object) -> SequenceModel:
        return fresh(architecture, seed, **{"hidden_size": 16, "max_length": 20, **settings})

    return make


@pytest.fixture
def shake() -> Callable[[nn.Module], nn.Module]:
    return shaken


@pytest.fixture
def histories() -> Callable[..., SequenceBatch]:
    """``histories([7, 1, 3])``: random histories of these lengths, with gaps from 0 s to days."""

    def histories(lengths: list[int], seed: int = 1, items: int = 30) -> SequenceBatch:
        draw = torch.Generator().manual_seed(seed)
        shape = (len(lengths), max(lengths))
        gaps = torch.exp(14.0 * torch.rand(shape, generator=draw)).long() - 1
        batch = SequenceBatch(
            torch.randint(1, items + 1, shape, generator=draw),
            torch.tensor(lengths),
            978_300_000 + gaps.cumsum(1),
        )
        padding = ~batch.mask
        return SequenceBatch(
            batch.items.masked_fill(padding, 0),
            batch.lengths,
            batch.timestamps.masked_fill(padding, 0),
        )

    return histories


@pytest.fixture
def attention_dropouts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The dropout probability of every call of PyTorch's attention."""
    found: list[float] = []
    fused = functional.scaled_dot_product_attention

    def watched(*tensors: Tensor, **options: float) -> Tensor:
        found.append(options["dropout_p"])
        return fused(*tensors, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    return found


def _pattern(values: Tensor) -> Tensor:
    angle = torch.arange(values.numel(), dtype=values.dtype).view_as(values)
    return values * (1.0 + 0.5 * torch.cos(angle))


@pytest.fixture
def patterned_dropout(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tensor], Tensor]:
    """Every ``nn.Dropout`` multiplies by a fixed pattern, which shows where dropout is applied."""
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, values: _pattern(values))
    return _pattern


def _compare(
    expected: Tensor,
    got: Tensor,
    parameters: dict[str, tuple[Tensor, Tensor]],
    tolerance: float = 1e-10,
) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    weights = torch.cos(torch.arange(got.numel(), dtype=got.dtype)).view_as(got)
    theirs, ours = zip(*parameters.values(), strict=True)
    wanted = torch.autograd.grad((expected * weights).sum(), theirs)
    found = torch.autograd.grad((got * weights).sum(), ours)
    for name, want, have in zip(parameters, wanted, found, strict=True):
        # Relative to the largest entry: small ones are differences of large ones.
        scale = float(want.abs().max())
        error = float((have - want).abs().max())
        assert error <= tolerance * max(scale, 1.0), f"{name}: off by {error} of {scale}"


@pytest.fixture
def compare() -> Callable[..., None]:
    """Values and the gradients of all parameters, (reference's, ours) by name."""
    return _compare
