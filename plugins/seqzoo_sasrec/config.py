"""Settings of the SASRec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import SelfAttentionConfig


@dataclass
class SASRecConfig(SelfAttentionConfig):
    """Settings of the backbone ``sasrec``."""
