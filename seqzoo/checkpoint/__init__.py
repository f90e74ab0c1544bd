"""Checkpoints as plain data: a folder of weights, items, recipe and metrics, and the Hub.

``manifest``, ``find`` and ``card`` read and describe a folder without torch; ``record`` reads all
of it, ``folder`` writes it. Nothing here knows a model.
"""
