"""Fakes of the kernels of mamba-ssm and causal-conv1d, with their signatures and layouts."""

import torch


def fused_ssd(x, dt, A, B, C, chunk_size, D=None, dt_softplus=False):  # noqa: N803 mamba-ssm's
    """What mamba-ssm documents, by plain steps: B and C are [B, L, groups, N]."""
    assert_dtypes(x, dt, A, B, C)
    assert chunk_size & (chunk_size - 1) == 0
    assert D is None
    assert not dt_softplus
    state = x.new_zeros(*x[:, 0].shape, B.shape[-1])
    outputs = []
    for t in range(x.shape[1]):
        kept = (dt[:, t] * A).exp()[..., None, None]
        written = (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, 0, None, None]
        state = kept * state + written
        outputs.append(torch.einsum("bhpn,bn->bhp", state, C[:, t, 0]))
    return torch.stack(outputs, 1)


def assert_dtypes(*tensors):
    assert {tensor.dtype for tensor in tensors} <= {torch.float32, torch.float16, torch.bfloat16}


def fused_scan(u, delta, A, B, C):  # noqa: N803 mamba-ssm's
    """What mamba-ssm documents, by plain steps: everything has channels before time.

    The checks are those of its CUDA code.
    """
    assert_dtypes(u, delta, A, B, C)
    assert delta.dtype == u.dtype == B.dtype == C.dtype
    assert A.dtype == torch.float32
    assert A.shape[1] <= 256
    assert all(tensor.stride(-1) == 1 for tensor in (u, delta, B, C))
    state = u.new_zeros(u.shape[0], *A.shape)
    outputs = []
    for t in range(u.shape[-1]):
        kept = (delta[..., t, None] * A).exp()
        state = kept * state + (delta[..., t] * u[..., t])[..., None] * B[:, None, :, t]
        outputs.append(torch.einsum("bin,bn->bi", state, C[..., t]))
    return torch.stack(outputs, -1)


def fused_convolution(x, weight, bias, activation):
    assert activation is None
    assert_dtypes(x, weight, bias)
    assert bias.dtype == weight.dtype
    assert 2 <= weight.shape[1] <= 4
    taps = weight.shape[1]
    padded = torch.nn.functional.pad(x, (taps - 1, 0))
    return torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=len(weight))
