"""The kernels of mamba-ssm and causal-conv1d, called by seqzoo's own adapters where there is one.

CUDA kernels are replaced by the reference functions of the same package. Triton kernels run in
Triton's interpreter.
"""

from collections.abc import Callable

import torch
from exchange import Arrays, serve
from torch import Tensor
from without_cuda import prepare

from seqzoo.ops import external


def differentiated(op: Callable[..., Tensor], given: Arrays) -> Arrays:
    """The result of a kernel, and gradients of its sum with the weights ``given["weights"]``."""
    weights = torch.from_numpy(given.pop("weights"))
    inputs = {name: torch.from_numpy(array).requires_grad_() for name, array in given.items()}
    y = op(**inputs)
    gradients = torch.autograd.grad((y * weights).sum(), list(inputs.values()))
    results = dict(zip([f"gradient of {name}" for name in inputs], gradients, strict=True))
    return {name: value.detach().numpy() for name, value in {"y": y, **results}.items()}


def selective_scan(given: Arrays) -> Arrays:
    """The adapter of the selective scan, with ``selective_scan_ref`` as the kernel."""
    from mamba_ssm.ops import selective_scan_interface as package

    package.selective_scan_fn = package.selective_scan_ref
    return differentiated(external.mamba_ssm_selective_scan, given)


def selective_scan_last(given: Arrays) -> Arrays:
    """The last state of ``selective_scan_ref``: [B, I, N]."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    x, step, decay, write = (
        torch.from_numpy(given[name]) for name in ("x", "step", "decay", "write")
    )
    x, step, write = (tensor.transpose(1, 2) for tensor in (x, step, write))
    _, state = selective_scan_ref(x, step, decay.T, write, write, return_last_state=True)
    return {"state": state.numpy()}


def selective_scan_step(given: Arrays) -> Arrays:
    """``selective_state_update_ref``, which changes its state [B, I, N] in place."""
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update_ref

    x, step, decay, write, read, state = (torch.from_numpy(array) for array in given.values())
    state = state.mT.contiguous()
    y = selective_state_update_ref(state, x, step, decay.T.contiguous(), write, read)
    return {"y": y.numpy(), "state": state.numpy()}


def ssd(given: Arrays) -> Arrays:
    """The adapter of SSD, with the Triton kernels."""
    return differentiated(external.mamba_ssm_ssd, given)


def ssd_reference(given: Arrays) -> Arrays:
    """The adapter of SSD, with ``ssd_chunk_scan_combined_ref`` as the kernel."""
    from mamba_ssm.ops.triton import ssd_combined as package

    package.mamba_chunk_scan_combined = package.ssd_chunk_scan_combined_ref
    return differentiated(external.mamba_ssm_ssd, given)


def ssd_last(given: Arrays) -> Arrays:
    """The last state of the Triton kernels: [B, H, P, N]."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    x, step, decay, write = (
        torch.from_numpy(given[name]) for name in ("x", "step", "decay", "write")
    )
    write = write[:, :, None]
    _, state = mamba_chunk_scan_combined(
        x, step, decay, write, write, chunk_size=16, return_final_states=True
    )
    return {"state": state.numpy()}


def causal_convolution(given: Arrays) -> Arrays:
    """The adapter of the convolution, with ``causal_conv1d_ref`` as the kernel."""
    import causal_conv1d
    from causal_conv1d.causal_conv1d_interface import causal_conv1d_ref

    causal_conv1d.causal_conv1d_fn = causal_conv1d_ref
    return differentiated(external.causal_conv1d_convolution, given)


if __name__ == "__main__":
    prepare()
    serve(
        {
            function.__name__: function
            for function in (
                selective_scan,
                selective_scan_last,
                selective_scan_step,
                ssd,
                ssd_reference,
                ssd_last,
                causal_convolution,
            )
        }
    )
