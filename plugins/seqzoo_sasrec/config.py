"""Settings of the SASRec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import SelfAttentionConfig

__all__ = ["SASRecConfig"]


@dataclass
class SASRecConfig(SelfAttentionConfig):
    """Settings of the backbone ``sasrec``."""
