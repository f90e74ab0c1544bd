"""The checkpoints of seqzoo that are too large for its own package, as a plugin.

The wheel has this file as the package ``seqzoo_model_cards`` and the checkpoints in its folder
``model_cards``. Every folder there is registered, so a new checkpoint needs no line here.
"""

from pathlib import Path

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register every checkpoint that this package ships."""
    for config in sorted(Path(__file__).parent.glob("model_cards/*/config.json")):
        zoo.pretrained(config.parent.name, package=__name__)
