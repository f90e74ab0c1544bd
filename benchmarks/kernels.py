"""The kernels of ``seqzoo.ops`` beside plain PyTorch with autograd, forward and backward."""

import torch
from timing import arguments, medians, report
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import linear_cross_entropy, selective_scan

ROWS, LENGTH, CHANNELS, STATES = 16, 200, 128, 32
POSITIONS, WIDTH, CLASSES = 3200, 64, 3417


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


if __name__ == "__main__":
    options = arguments(__doc__)
    torch.manual_seed(0)
    scan = [
        torch.randn(ROWS, LENGTH, CHANNELS),
        torch.rand(ROWS, LENGTH, CHANNELS),
        -torch.arange(1.0, STATES + 1)[:, None].repeat(1, CHANNELS),
        torch.randn(ROWS, LENGTH, STATES),
        torch.randn(ROWS, LENGTH, STATES),
    ]
    for argument in scan:
        argument.requires_grad_()
    calls = {
        "plain loop": lambda: plain_scan(*scan).sum().backward(),
        "selective_scan": lambda: selective_scan(*scan).sum().backward(),
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
