"""Settings of DuoRec's objective."""

from dataclasses import dataclass

from seqzoo.parts.config import ContrastiveConfig, check_choice

__all__ = ["PAIRS", "DuoRecConfig"]

PAIRS = ("dropout", "same-target", "both", "crossed")


@dataclass
class DuoRecConfig(ContrastiveConfig):
    """Settings of the objective ``duorec``.

    Attributes:
        contrast_pairs: what is contrasted: ``dropout``, ``same-target``, ``both`` or ``crossed``.
    """

    contrast_pairs: str = "crossed"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("contrast_pairs", self.contrast_pairs, PAIRS)
