"""Every compiled kernel gives the same bits in each run with the same number of threads."""

import pytest
import torch

from seqzoo.ops.backends import BACKENDS
from seqzoo.ops.probe import _EXAMPLES, _INFERENCE, _LARGE, _trial

NATIVE = {backend.op: backend for backend in BACKENDS if backend.name == "native"}


def test_every_kernel_has_an_example():
    assert set(NATIVE) == set(_EXAMPLES)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("op", sorted(_EXAMPLES))
def test_two_runs_give_the_same_bits(op, with_threads):
    """The kernel's own results do not depend on the number of threads either."""
    implementation, example, found = NATIVE[op].load(), _EXAMPLES[op](_LARGE), []
    for threads in (1, 3):
        with_threads(threads)
        one, other = (_trial(implementation, op, example) for _ in range(2))
        assert all(map(torch.equal, one, other)), f"{threads} threads"
        found.append(one)
    # Torch sums some gradients afterwards, in parts that depend on the number of threads.
    own = len(found[0]) if op in _INFERENCE else 1
    assert all(map(torch.equal, found[0][:own], found[1][:own]))
