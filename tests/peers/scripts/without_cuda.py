"""Lets mamba-ssm and causal-conv1d, built without CUDA, run on a CPU.

Their own Python and Triton code is not changed; ``TRITON_INTERPRET=1`` must be set.
"""

import contextlib
import importlib.util
import sys
import types

import torch
import triton


def prepare() -> None:
    """Put fakes where the packages ask for a GPU; call it before they are imported."""
    # Extensions that only a build with CUDA has.
    for name in ("selective_scan_cuda", "causal_conv1d_cuda"):
        sys.modules[name] = types.ModuleType(name)

    # The package's __init__ imports all models, which need more packages.
    package = types.ModuleType("mamba_ssm")
    package.__path__ = list(importlib.util.find_spec("mamba_ssm").submodule_search_locations)
    sys.modules["mamba_ssm"] = package

    # The interpreter needs no device, but the functions that start the kernels ask for one.
    torch.cuda.device = lambda index: contextlib.nullcontext()
    torch.cuda.get_device_properties = lambda device: types.SimpleNamespace(multi_processor_count=1)

    # Autotuning would time every block size on a GPU; the first one gives the same results.
    autotune = triton.autotune
    triton.autotune = lambda configs, **options: autotune(configs[:1], **options)
