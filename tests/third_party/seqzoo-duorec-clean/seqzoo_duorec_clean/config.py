"""Settings of the objective; without torch, so that they can be read quickly."""

from dataclasses import dataclass

from seqzoo.parts.config import check_range


@dataclass
class DuoRecCleanConfig:
    """Settings of the objective ``duorec-clean``.

    Attributes:
        contrast_strength: factor of the contrastive term.
        contrast_sharpness: factor of the cosines, the inverse of a temperature.
    """

    contrast_strength: float = 0.1
    contrast_sharpness: float = 10.0

    def __post_init__(self) -> None:
        for name in ("contrast_strength", "contrast_sharpness"):
            check_range(name, getattr(self, name), 0.0)
