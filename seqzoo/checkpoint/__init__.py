"""Checkpoints: a folder that carries a model, its items, its recipe and its figures.

``manifest`` and ``card`` read and describe a folder without torch; ``checkpoint`` saves and loads
models. This package imports nothing by itself, so that listing stays fast.
"""
