"""The Fourier transform as matrices, against torch.fft and against the closed form."""

import math
from contextlib import nullcontext

import pytest
import torch
from seqzoo_filters.frequencies import kernel_of, low_pass_basis, multiply_spectrum

from seqzoo.ops.exporting import exportable

SLOTS = pytest.mark.parametrize("slots", [1, 2, 3, 8, 19, 50, 200])


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.manual_seed(sum(shape)))


@SLOTS
@pytest.mark.parametrize("highest", [0, 1, 2, 4, 1000])
def test_low_pass(slots, highest):
    values = random(slots, 6)
    spectrum = torch.fft.rfft(values, dim=0)
    spectrum[highest + 1 :] = 0
    expected = torch.fft.irfft(spectrum, n=slots, dim=0)
    basis = low_pass_basis(slots, highest, values)
    torch.testing.assert_close(basis @ (basis.T @ values), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("slots", "highest"), [(8, 1), (50, 1), (50, 4), (19, 9)])
def test_low_pass_in_closed_form(slots, highest):
    basis = low_pass_basis(slots, highest, random(1))
    matrix = basis @ basis.T
    for i in range(slots):
        for j in range(slots):
            waves = sum(math.cos(2 * math.pi * f * (i - j) / slots) for f in range(1, highest + 1))
            assert float(matrix[i, j]) == pytest.approx((1 + 2 * waves) / slots, abs=1e-13)


@SLOTS
@pytest.mark.parametrize("form", ["fast transform", "matrices"])
def test_multiplied_spectrum_and_its_kernel(slots, form):
    """The matrices are the form that is exported."""
    values, factors = random(3, slots, 4), random(slots // 2 + 1, 4, 2).requires_grad_()
    spectrum = torch.fft.rfft(values, dim=1, norm="ortho") * torch.view_as_complex(factors)
    expected = torch.fft.irfft(spectrum, n=slots, dim=1, norm="ortho")
    with exportable() if form == "matrices" else nullcontext():
        got, kernel = multiply_spectrum(values, factors), kernel_of(factors, slots)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)
    for i in range(min(slots, 20)):
        shifted = kernel[(i - torch.arange(slots)) % slots]
        torch.testing.assert_close((shifted * values).sum(1), expected[:, i], rtol=0, atol=1e-11)
    weights = random(3, slots, 4)
    wanted = torch.autograd.grad((expected * weights).sum(), factors)[0]
    found = torch.autograd.grad((got * weights).sum(), factors)[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_half_precision_is_transformed_in_single():
    values, factors = random(2, 20, 4).bfloat16(), random(11, 4, 2).bfloat16()
    got, kernel = multiply_spectrum(values, factors), kernel_of(factors, 20)
    assert got.dtype == kernel.dtype == torch.bfloat16
    exact = multiply_spectrum(values.double(), factors.double())
    assert (got - exact).abs().max() <= torch.finfo(torch.bfloat16).eps * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_single_and_half_precision(dtype):
    """The waves are as exact as the dtype, also in the last of many slots."""
    basis = low_pass_basis(1000, 499, torch.zeros((), dtype=dtype))
    exact = low_pass_basis(1000, 499, torch.zeros((), dtype=torch.float64))
    assert basis.dtype == dtype
    # An angle of up to 2 pi is rounded first.
    error = (basis.double() - exact).abs().max()
    assert error <= 4 * torch.finfo(dtype).eps * exact.abs().max()
