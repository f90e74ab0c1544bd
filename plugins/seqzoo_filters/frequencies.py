"""The discrete Fourier transform of M slots, as real matrices.

A product with a matrix knows every dtype and can be exported, and for windows of some hundred slots
it is no slower than a fast transform. The matrices are computed where they are used: a buffer would
keep the precision that it was made with.

Shapes in brackets: B histories, M slots, F = M // 2 + 1 frequencies, D width.
"""

import math

import torch
from torch import Tensor


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
    slots = values.shape[1]
    cosines, sines, count = _waves(slots, slots // 2, values)
    # The factor 1 / M of the inverse transform is divided between both.
    analysis = (torch.cat([cosines, -sines], dim=1) / math.sqrt(slots)).to(values.dtype)
    synthesis = torch.cat([cosines * count, -sines * count], dim=1) / math.sqrt(slots)
    real, imaginary = (analysis.T @ values).chunk(2, dim=1)
    by_real, by_imaginary = factors.unbind(-1)
    product = torch.cat(
        [
            real * by_real - imaginary * by_imaginary,
            real * by_imaginary + imaginary * by_real,
        ],
        dim=1,
    )
    return synthesis.to(values.dtype) @ product


def kernel_of(factors: Tensor, slots: int) -> Tensor:
    """The circular convolution that the factors [F, D, 2] of M slots stand for: [M, D].

    ``multiply_spectrum`` gives slot i the sum over j of ``kernel[(i - j) % M] * values[j]``.
    """
    cosines, sines, count = _waves(slots, slots // 2, factors)
    waves = torch.cat([cosines * count, -sines * count], dim=1) / slots
    return waves.to(factors.dtype) @ torch.cat(factors.unbind(-1), dim=0)


def _waves(slots: int, highest: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Waves of the frequencies 0 to ``highest``.

    Returns:
        Cosines and sines [M, highest + 1], and how many frequencies of the full transform each
        stands for [highest + 1]: two, f and M - f, or one where these are the same.
    """
    frequency = torch.arange(highest + 1, device=like.device)
    turns = torch.arange(slots, device=like.device)[:, None] * frequency % slots
    dtype = torch.promote_types(like.dtype, torch.float32)
    angle = turns.to(dtype) * (2.0 * math.pi / slots)
    alone = (frequency == 0) | (2 * frequency == slots)
    return angle.cos(), angle.sin(), torch.where(alone, 1, 2).to(dtype)
