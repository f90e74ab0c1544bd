"""``seqzoo.ops`` against mamba-ssm and causal-conv1d: results and gradients in float32.

The kernels of the packages are called through seqzoo's adapters, so that these are tested too.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seqzoo import ops
from tests.ops.conftest import backend as backend
from tests.ops.conftest import native_refusal as native_refusal

pytestmark = pytest.mark.slow

TOLERANCE = 5e-6
"""Some tens of float32 roundings, relative to the largest value."""
MAMBA = ("mamba-ssm-2.2.4", "mamba-ssm-2.3.2")
ROWS, CHANNELS, STATES, HEADS = 2, 64, 32, 4

peers = pytest.mark.parametrize("peer", MAMBA)


def scan_inputs(length: int) -> dict[str, Tensor]:
    torch.manual_seed(length)
    return {
        "x": torch.randn(ROWS, length, CHANNELS),
        "step": torch.rand(ROWS, length, CHANNELS),
        # Mamba's own rates, with some noise.
        "decay": -(torch.arange(1.0, STATES + 1)[:, None] + torch.rand(STATES, CHANNELS)),
        "write": torch.randn(ROWS, length, STATES),
        "read": torch.randn(ROWS, length, STATES),
    }


def ssd_inputs(length: int) -> dict[str, Tensor]:
    given = scan_inputs(length)
    given["x"] = given["x"].view(ROWS, length, HEADS, -1)
    # A step between 0.001 and 0.1 keeps states over hundreds of positions.
    given["step"] = 10.0 ** (-3.0 + 2.0 * torch.rand(ROWS, length, HEADS))
    given["decay"] = -(1.0 + 15.0 * torch.rand(HEADS))
    return given


def convolution_inputs(length: int) -> dict[str, Tensor]:
    torch.manual_seed(length)
    return {
        "x": torch.randn(ROWS, length, CHANNELS),
        "weight": torch.randn(CHANNELS, 4),
        "bias": torch.randn(CHANNELS),
    }


def differentiated(
    op: Callable[..., Tensor], given: dict[str, Tensor], weights: Tensor, backend: str
) -> dict[str, Tensor]:
    """The result of our kernel and the gradients, named as the peers' script names them."""
    inputs = {name: value.clone().requires_grad_() for name, value in given.items()}
    y = op(*inputs.values(), backend=backend)
    gradients = torch.autograd.grad((y * weights).sum(), list(inputs.values()))
    names = [f"gradient of {name}" for name in inputs]
    return {"y": y.detach(), **dict(zip(names, gradients, strict=True))}


@pytest.fixture(scope="module")
def theirs(ask):
    """What a peer's kernel gives for the same inputs and weights; asked once."""
    known = {}

    def theirs(peer: str, function: str, given: dict[str, Tensor]) -> dict[str, Tensor]:
        key = (peer, function, given["x"].shape)
        if key not in known:
            known[key] = ask(peer, "kernels.py", function, given)
        return dict(known[key])

    return theirs


@peers
@pytest.mark.parametrize("length", [1, 50, 200])
def test_selective_scan_with_gradients(length, peer, theirs, backend, agree):
    given = scan_inputs(length)
    weights = torch.randn_like(given["x"])
    expected = theirs(peer, "selective_scan", {**given, "weights": weights})
    if length == 1:
        # The state before the first position is zero, so no rate matters.
        assert not expected.pop("gradient of decay").any()
    ours = differentiated(ops.selective_scan, given, weights, backend)
    agree({name: ours[name] for name in expected}, expected, TOLERANCE)


@peers
def test_last_state_of_the_selective_scan(peer, theirs, backend, agree):
    given = scan_inputs(50)
    del given["read"]
    expected = theirs(peer, "selective_scan_last", given)
    lengths = torch.full((ROWS,), 50)
    ours = ops.selective_scan_last(*given.values(), lengths, backend=backend)
    agree({"state": ours.mT}, expected, TOLERANCE)


@peers
def test_one_step_of_the_selective_scan(peer, theirs, backend, agree):
    given = {
        name: value if name == "decay" else value[:, 0] for name, value in scan_inputs(2).items()
    }
    given["state"] = torch.randn(ROWS, STATES, CHANNELS)
    expected = theirs(peer, "selective_scan_step", given)
    y, state = ops.selective_scan_step(*given.values(), backend=backend)
    agree({"y": y, "state": state.mT}, expected, TOLERANCE)


@peers
@pytest.mark.parametrize(("function", "length"), [("ssd", 50), ("ssd", 70), ("ssd_reference", 128)])
def test_ssd_with_gradients(function, length, peer, theirs, backend, agree):
    """Against the Triton kernels, with one chunk and with two, and the reference function."""
    given = ssd_inputs(length)
    weights = torch.randn_like(given["x"])
    expected = theirs(peer, function, {**given, "weights": weights})
    agree(differentiated(ops.ssd, given, weights, backend), expected, TOLERANCE)


@peers
def test_last_state_of_ssd(peer, theirs, backend, agree):
    given = ssd_inputs(50)
    del given["read"]
    expected = theirs(peer, "ssd_last", given)
    ours = ops.ssd_last(*given.values(), torch.full((ROWS,), 50), backend=backend)
    agree({"state": ours}, expected, TOLERANCE)


@peers
@pytest.mark.parametrize("length", [1, 50])
def test_causal_convolution_with_gradients(length, peer, theirs, backend, agree):
    """Both versions of mamba-ssm are installed with a causal-conv1d of their time."""
    given = convolution_inputs(length)
    weights = torch.randn_like(given["x"])
    expected = theirs(peer, "causal_convolution", {**given, "weights": weights})
    ours = differentiated(ops.causal_convolution, given, weights, backend)
    if length == 1:
        # Taps of earlier positions see only zeros, in both.
        assert not expected["gradient of weight"][:, :-1].any()
    agree(ours, expected, TOLERANCE)
