"""Filters along M slots: a low-pass filter, and factors for all frequencies.

A low-pass filter of a few frequencies is a product with a narrow matrix, computed where it is used:
a buffer would keep the precision that it was made with.

Shapes in brackets: B histories, M slots, F = M // 2 + 1 frequencies, D width.
"""

import math

import torch
from torch import Tensor

from seqzoo.ops.exporting import exporting

__all__ = ["kernel_of", "low_pass_basis", "multiply_spectrum"]


def low_pass_basis(slots: int, highest: int, like: Tensor) -> Tensor:
    """The waves of the frequencies 0 to ``highest``, such that U U^T is the low-pass filter.

    Below M / 2 the entry i, j of U U^T is ``(1 + 2 sum_f cos(2 pi f (i - j) / M)) / M`` with f from
    1 to ``highest``.

    Args:
        slots: M.
        highest: highest frequency that passes; above M / 2 all of them pass.
        like: a tensor with the dtype and the device of the result.

    Returns:
        U [M, R] with a cosine and a sine for each frequency.
    """
    cosines, sines, count = _waves(slots, min(highest, slots // 2), like)
    waves = torch.cat([cosines * count.sqrt(), sines * count.sqrt()], dim=1)
    return (waves / math.sqrt(slots)).to(like.dtype)


def multiply_spectrum(values: Tensor, factors: Tensor) -> Tensor:
    """Multiply every frequency by a complex number: [B, M, D] -> [B, M, D].

    It is ``irfft(rfft(values) * factors)`` along the slots. Imaginary parts of the factors of
    frequencies 0 and M / 2 have no effect.

    Args:
        values: [B, M, D].
        factors: real and imaginary parts [F, D, 2].
    """
    if exporting():
        return _multiply_by_matrices(values, factors)
    spectrum = torch.fft.rfft(_transformable(values), dim=1)
    product = spectrum * torch.view_as_complex(_transformable(factors))
    return torch.fft.irfft(product, n=values.shape[1], dim=1).to(values.dtype)  # type: ignore[no-any-return]


def kernel_of(factors: Tensor, slots: int) -> Tensor:
    """The circular convolution that the factors [F, D, 2] of M slots describe: [M, D].

    ``multiply_spectrum`` gives slot i the sum over j of ``kernel[(i - j) % M] * values[j]``.
    """
    if exporting():
        cosines, sines, count = _waves(slots, slots // 2, factors)
        waves = torch.cat([cosines * count, -sines * count], dim=1) / slots
        return waves @ torch.cat(factors.unbind(-1), dim=0)
    product = torch.view_as_complex(_transformable(factors))
    return torch.fft.irfft(product, n=slots, dim=0).to(factors.dtype)  # type: ignore[no-any-return]


def _transformable(values: Tensor) -> Tensor:
    """Values in a dtype that can be transformed, which half precision cannot everywhere."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _multiply_by_matrices(values: Tensor, factors: Tensor) -> Tensor:
    """``multiply_spectrum`` without complex numbers, which ONNX does not have."""
    slots = values.shape[1]
    cosines, sines, count = _waves(slots, slots // 2, values)
    analysis = torch.cat([cosines, -sines], dim=1)
    synthesis = torch.cat([cosines * count, -sines * count], dim=1) / slots
    real, imaginary = (analysis.T @ values).chunk(2, dim=1)
    by_real, by_imaginary = factors.unbind(-1)
    product = [
        real * by_real - imaginary * by_imaginary,
        real * by_imaginary + imaginary * by_real,
    ]
    return synthesis @ torch.cat(product, dim=1)


def _waves(slots: int, highest: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Waves of the frequencies 0 to ``highest``.

    Returns:
        Cosines and sines [M, highest + 1], and how many frequencies of the full transform each
        represents [highest + 1]: two, f and M - f, or one where these are the same.
    """
    frequency = torch.arange(highest + 1, device=like.device)
    turns = torch.arange(slots, device=like.device)[:, None] * frequency % slots
    dtype = torch.promote_types(like.dtype, torch.float32)
    angle = turns.to(dtype) * (2.0 * math.pi / slots)
    alone = (frequency == 0) | (2 * frequency == slots)
    return angle.cos(), angle.sin(), torch.where(alone, 1, 2).to(dtype)
