import pytest
import torch

from seqzoo.ops.backends import verdicts
from seqzoo.ops.native import library


@pytest.fixture(scope="session")
def native_refusal() -> str:
    """Why the native kernels are not usable here; empty if they are."""
    found = verdicts(torch.device("cpu"))
    return next((v.reason for v in found if v.backend == "native" and not v.usable), "")


@pytest.fixture(params=["torch", "native"])
def backend(request: pytest.FixtureRequest, native_refusal: str) -> str:
    """Each backend of a CPU in turn."""
    if request.param == "native" and native_refusal:
        pytest.skip(native_refusal)
    return request.param


@pytest.fixture
def native(native_refusal):
    """Skips without a compiler."""
    if native_refusal:
        pytest.skip(native_refusal)


LEVELS = ("baseline", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request, monkeypatch, native):
    """Each set of instructions up to the widest that the processor has."""
    if LEVELS.index(request.param) > LEVELS.index(library.level()):
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setattr(library, "level", lambda: request.param)
    return request.param


@pytest.fixture
def with_threads():
    """``with_threads(number)`` sets torch's number of threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
