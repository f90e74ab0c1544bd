"""Kernels in C for the processor, called without torch's headers: see ``library`` and ``build``."""
