"""Each folder here is a distribution; its tests are collected only where it is installed."""

import importlib.util

_MODULES = {name: f"seqzoo_{name}" for name in ("lrurec", "bert4rec", "duorec")}
collect_ignore = [
    f"seqzoo-{name}"
    for name, module in _MODULES.items()
    if importlib.util.find_spec(module) is None
]
