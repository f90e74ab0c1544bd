"""Checkpoints as plain data: a folder of weights, items, recipe and metrics, and the Hub.

``manifest``, ``find`` and ``card`` read and describe a folder without torch. ``record`` reads a
whole folder and ``folder`` writes one. This package does not depend on any model.
"""
