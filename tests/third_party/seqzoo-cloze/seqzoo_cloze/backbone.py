"""The backbone: PyTorch's pre-norm encoder layers, which read a history from both sides.

Shapes in brackets: B histories in a batch, L positions, D width.
"""

from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo_cloze.config import ClozeConfig


class Cloze(Backbone):
    """Every position reads the whole history, so a target must be hidden in its own input."""

    causal = False
    streaming = False

    def __init__(self, config: ClozeConfig) -> None:
        super().__init__()
        # Not nn.TransformerEncoder, whose layers all start as copies of one.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden_size,
                config.num_heads,
                config.inner_size,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=~batch.mask)
        return self.norm(hidden)  # type: ignore[no-any-return]
