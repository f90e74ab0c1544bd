import pytest
import torch

from seqzoo.ops.backends import verdicts


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
