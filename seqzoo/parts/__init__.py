"""The core's own embedders, heads and losses; ``seqzoo.builtin`` registers them."""
