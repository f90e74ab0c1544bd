"""The core's own embedders, heads and losses, and what plugins' parts share with them.

``seqzoo.builtin`` registers them. ``layers`` has what several backbones share, ``config`` checks of
settings.
"""
