"""The Caser backbone: convolutions over the newest events (WSDM 2018, arXiv 1809.07426).

Shapes in brackets: B histories in a batch, L positions, W events of a window, T events of a
sequence that windows slide over, D width, F features of a window.
"""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo_caser.config import CaserConfig
from seqzoo_caser.filters import Filters

__all__ = ["Caser"]

_ACTIVATIONS = {
    "relu": nn.ReLU,
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Caser(Backbone):
    """Filters over a window that ends at each position, and linear layers.

    A window that reaches beyond the oldest event is filled with the learned vector ``start``. So
    all positions can train, and a session keeps the newest events of a window.
    """

    causal = True
    streaming = True

    def __init__(self, config: CaserConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.window = config.window
        # A window of one event is always full.
        self.fills_right = config.window_padding == "right" and config.window > 1
        self.start = nn.Parameter(torch.empty(width))
        self.filters = Filters(
            width, config.window, config.vertical_filters, config.horizontal_filters
        )
        self.dropout = nn.Dropout(config.filter_dropout)
        self.fc1 = nn.Linear(self.filters.num_features, width)
        self.activation = _ACTIVATIONS[config.activation]()
        user_width = width if config.user_vectors else 0
        self.fc2 = nn.Linear(width + user_width, width) if config.second_layer else None
        self.user_table = None
        if config.user_vectors:
            self.user_table = nn.Parameter(torch.empty(config.user_vectors, width))
            self.uses_users = True
            # A step does not get the user.
            self.streaming = False
        self._draw(1.0 / width)

    def _draw(self, spread: float) -> None:
        """First values, as in RecBole; those of the filters are PyTorch's."""
        for vectors in (self.start, self.user_table):
            if vectors is not None:
                nn.init.normal_(vectors, 0.0, spread)
        for layer in (self.fc1, self.fc2):
            if layer is not None:
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        if self.fills_right:
            features = self._begin(hidden)
            if hidden.shape[1] >= self.window:
                features = torch.cat([features, self.filters(hidden)], dim=1)
        else:
            before = self.start.expand(len(hidden), self.window - 1, -1)
            features = self.filters(torch.cat([before, hidden], dim=1))
        return self._finish(features, batch.users)

    def _begin(self, hidden: Tensor) -> Tensor:
        """Features of the positions with less than a window, filled on the right: [B, <W, F]."""
        count = min(self.window - 1, hidden.shape[1])
        own = torch.arange(self.window, device=hidden.device)
        # A position does not read the events after it.
        shown = (own <= own[:count, None])[..., None]
        rest = self.start.expand(len(hidden), self.window - count, -1)
        events = torch.cat([hidden[:, :count], rest], dim=1)
        windows = torch.where(shown, events[:, None], self.start)
        features: Tensor = self.filters(windows.flatten(0, 1))
        return features.view(len(hidden), count, -1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        own = torch.arange(self.window, device=hidden.device)
        first = batch.lengths[:, None] - self.window
        positions = (first.clamp(min=0) if self.fills_right else first) + own
        real = (positions >= 0) & (positions < batch.lengths[:, None])
        index = positions.clamp(0, hidden.shape[1] - 1)[..., None].expand(-1, -1, hidden.shape[2])
        windows = torch.where(real[..., None], hidden.gather(1, index), self.start)
        return self._finish(self.filters(windows), batch.users)[:, 0]

    def initial_state(self, batch_size: int) -> State:
        """The newest W - 1 events [B, W - 1, D], here none, and their number [B]."""
        events = self.start.detach().expand(batch_size, self.window - 1, -1).clone()
        return events, torch.zeros(batch_size, dtype=torch.int64, device=events.device)

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        events, count = state
        events = torch.cat([events, hidden[:, None]], dim=1)
        count = (count + 1).clamp(max=self.window)
        windows = events
        if self.fills_right:
            # The vectors that fill the window move behind the newest event.
            own = torch.arange(self.window, device=hidden.device)
            order = (own + self.window - count[:, None]) % self.window
            windows = events.gather(1, order[..., None].expand(-1, -1, events.shape[2]))
        return self._finish(self.filters(windows), None)[:, 0], (events[:, 1:], count)

    def _finish(self, features: Tensor, users: Tensor | None) -> Tensor:
        """Features of windows and numbers of users: [B, T, F], [B] -> [B, T, D]."""
        hidden: Tensor = self.activation(self.fc1(self.dropout(features)))
        if self.user_table is not None and users is not None:
            of_users = self.user_table[users % len(self.user_table)]
            of_users = of_users[:, None].expand(-1, hidden.shape[1], -1)
            hidden = torch.cat([hidden, of_users], dim=-1)
        if self.fc2 is not None:
            hidden = self.activation(self.fc2(hidden))
        return hidden
