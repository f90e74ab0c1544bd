"""Each folder here is a distribution; its tests are collected only where it is installed."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("seqzoo_lrurec") else ["seqzoo-lrurec"]
