"""Settings of the BERT4Rec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import SelfAttentionConfig

__all__ = ["Bert4RecConfig"]


@dataclass
class Bert4RecConfig(SelfAttentionConfig):
    """Settings of the backbone ``bert4rec``."""
