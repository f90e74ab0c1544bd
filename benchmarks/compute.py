"""The kernels of ``seqzoo.ops``: native compared with torch, and torch with plain PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from timing import arguments, medians, report
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import (
    causal_convolution,
    linear_cross_entropy,
    selective_scan,
    selective_scan_last,
    selective_scan_step,
    ssd,
    ssd_last,
    ssd_step,
)
from seqzoo.ops.backends import verdicts

LENGTH, CHANNELS, STATES, HEADS, TAPS = 200, 128, 32, 4, 4
ROWS = 16
POSITIONS, WIDTH, CLASSES = 3200, 64, 3417

Case = tuple[str, Callable[..., Callable[[], object]], Callable[..., object], list[Tensor]]
"""Title, how it is called, the kernel and its arguments."""


def plain_scan(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The scan as a loop over positions that autograd records."""
    state = x.new_zeros(len(x), *decay.shape)
    outputs = []
    for t in range(x.shape[1]):
        inputs = (step[:, t] * x[:, t])[:, None] * write[:, t, :, None]
        state = torch.exp(step[:, t, None] * decay) * state + inputs
        outputs.append((state * read[:, t, :, None]).sum(1))
    return torch.stack(outputs, 1)


def plain_cross_entropy(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over scores that are kept whole."""
    return functional.cross_entropy(hidden @ table.T, targets)


def scan_arguments(rows: int) -> list[Tensor]:
    """Arguments of the selective scan."""
    return [
        torch.randn(rows, LENGTH, CHANNELS),
        torch.rand(rows, LENGTH, CHANNELS),
        -torch.arange(1.0, STATES + 1)[:, None].repeat(1, CHANNELS),
        torch.randn(rows, LENGTH, STATES),
        torch.randn(rows, LENGTH, STATES),
    ]


def ssd_arguments(rows: int) -> list[Tensor]:
    """Arguments of SSD."""
    x, step, _, write, read = scan_arguments(rows)
    x = x.view(rows, LENGTH, HEADS, CHANNELS // HEADS)
    return [x, step[..., :HEADS].contiguous(), -torch.rand(HEADS), write, read]


def training(op: Callable[..., Any], given: list[Tensor], backend: str) -> Callable[[], None]:
    """Forward and backward pass."""
    inputs = [tensor.clone().requires_grad_() for tensor in given]
    return lambda: op(*inputs, backend=backend).sum().backward()


def inference(op: Callable[..., object], given: list[Tensor], backend: str) -> Callable[[], object]:
    """Forward pass without gradients."""
    return torch.no_grad()(lambda: op(*given, backend=backend))


def native_beside_torch(turns: int, as_json: bool) -> None:
    """Every kernel that has a native backend, at the sizes of the models on MovieLens-1M."""
    whole = torch.full((128,), LENGTH)
    cases: list[Case] = []
    for rows in (8, 32):
        scan, pair = scan_arguments(rows), ssd_arguments(rows)
        taps = [scan[0], torch.randn(CHANNELS, TAPS), torch.randn(CHANNELS)]
        both = f"{rows} x {LENGTH}, forward and backward"
        cases += [
            (f"selective scan, {both}", training, selective_scan, scan),
            (f"ssd, {both}", training, ssd, pair),
            (f"causal convolution, {both}", training, causal_convolution, taps),
        ]
    last, pair = scan_arguments(128), ssd_arguments(128)
    cases += [
        (
            f"selective scan, 128 x {LENGTH}, last",
            inference,
            selective_scan_last,
            [*last[:4], whole],
        ),
        (f"ssd, 128 x {LENGTH}, last", inference, ssd_last, [*pair[:4], whole]),
    ]
    for rows in (1, 64):
        x, step, decay, write, read = scan_arguments(rows)
        state = torch.randn(rows, STATES, CHANNELS)
        one = [x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state]
        cases.append((f"selective scan, {rows}, step", inference, selective_scan_step, one))
        x, step, decay, write, read = ssd_arguments(rows)
        state = torch.randn(rows, *x.shape[2:], STATES)
        one = [x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state]
        cases.append((f"ssd, {rows}, step", inference, ssd_step, one))
    for title, mode, op, given in cases:
        calls = {backend: mode(op, given, backend) for backend in ("torch", "native")}
        report(title, medians(calls, turns), "torch", as_json)


if __name__ == "__main__":
    options = arguments(__doc__)
    torch.manual_seed(0)
    found = [v for v in verdicts(torch.device("cpu")) if v.backend == "native"]
    if all(verdict.usable for verdict in found):
        native_beside_torch(options.turns, options.json)
    else:
        print("no native kernels:", found[0].reason)

    scan = [argument.requires_grad_() for argument in scan_arguments(ROWS)]
    x, step, decay, write, read = scan
    calls = {
        "plain loop": lambda: plain_scan(*scan).sum().backward(),
        "selective_scan, torch": lambda: (
            selective_scan(x, step, decay, write, read, backend="torch").sum().backward()
        ),
    }
    title = f"selective scan, {ROWS} x {LENGTH} x {CHANNELS} x {STATES}"
    report(title, medians(calls, options.turns), "plain loop", options.json)

    hidden = torch.randn(POSITIONS, WIDTH, requires_grad=True)
    table = torch.randn(CLASSES, WIDTH, requires_grad=True)
    targets = torch.randint(1, CLASSES, (POSITIONS,))
    calls = {
        "functional.cross_entropy": lambda: plain_cross_entropy(hidden, table, targets).backward(),
        "linear_cross_entropy": lambda: linear_cross_entropy(hidden, table, targets).backward(),
    }
    title = f"cross-entropy, {POSITIONS} x {WIDTH} x {CLASSES}"
    report(title, medians(calls, options.turns), "functional.cross_entropy", options.json)
