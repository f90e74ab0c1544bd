"""Each folder here is a distribution; its tests are collected only where it is installed."""

import importlib.util

_MODULES = {
    "lrurec": "seqzoo_lru",
    "cloze": "seqzoo_cloze",
    "duorec-clean": "seqzoo_duorec_clean",
}
collect_ignore = [
    f"seqzoo-{name}"
    for name, module in _MODULES.items()
    if importlib.util.find_spec(module) is None
]
