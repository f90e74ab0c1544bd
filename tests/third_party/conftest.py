"""Each folder here is a distribution; its tests are collected only where it is installed."""

import importlib.util

_MODULES = {
    "lrurec": "seqzoo_lru",
    "cloze": "seqzoo_cloze",
    "duorec-clean": "seqzoo_duorec_clean",
}
collect_ignore = [
    folder for folder in _FOLDERS if importlib.util.find_spec(folder.replace("-", "_")) is None
]
