"""The NARM backbone: a recurrent network whose newest state attends to all (arXiv 1711.04725).

With the recurrent states o, the result h at position t is::

    alpha[t, j] = v . sigmoid(A1 o[j] + A2 o[t])          for j up to t
    h[t]        = M Dropout([sum_j alpha[t, j] o[j] ; o[t]])

Shapes in brackets: B batch, L positions, D width of the model, G width of the recurrent state.
"""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops import StepOperations
from seqzoo.parts.layers import check_session_length
from seqzoo_rnn.attention import additive_scores
from seqzoo_rnn.config import NarmConfig
from seqzoo_rnn.gru4rec import empty_state, recurrent, run

__all__ = ["Narm"]


class Narm(Backbone):
    """Recurrent layers, additive attention, and a matrix over the results of both.

    Streaming keeps all recurrent states so far, up to ``max_length``, because each new event
    weights all of them again.
    """

    causal = True
    streaming = True

    def __init__(self, config: NarmConfig) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.chunk_size = config.chunk_size
        self.softmax = config.attention == "softmax"
        self.gru = recurrent(config)
        self.a_1 = nn.Linear(config.gru_size, config.gru_size, bias=False)
        self.a_2 = nn.Linear(config.gru_size, config.gru_size, bias=False)
        self.v_t = nn.Linear(config.gru_size, 1, bias=False)
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.b = nn.Linear(2 * config.gru_size, config.hidden_size, bias=False)
        for linear in (self.a_1, self.a_2, self.v_t, self.b):
            nn.init.xavier_normal_(linear.weight)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        outputs = run(self.gru, hidden)
        scores = additive_scores(
            self.a_2(outputs), self.a_1(outputs), self.v_t.weight[0], self.chunk_size
        )
        index = torch.arange(hidden.shape[1], device=hidden.device)
        local = self._mix(scores, outputs, index <= index[:, None])
        return self._finish(local, outputs)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history attends: [B, L, D] -> [B, D]."""
        outputs = run(self.gru, hidden)
        newest = batch.gather_last(outputs)
        scores = self._scores(newest, self.a_1(outputs))
        local = self._mix(scores[:, None], outputs, batch.mask[:, None])
        return self._finish(local[:, 0], newest)

    def initial_state(self, batch_size: int) -> State:
        """Zero recurrent states [B, layers, G], empty outputs and empty keys [B, 0, G]."""
        state = empty_state(self.gru, batch_size)
        none = state.new_zeros(batch_size, 0, state.shape[-1])
        return state, none, none

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used.

        Raises:
            ConfigError: the session already has ``max_length`` events.
        """
        recurrent_state, outputs, keys = state
        limit = "the number of states that are kept"
        check_session_length(outputs.shape[1] + 1, self.max_length, limit)
        newest, recurrent_state = StepOperations().gru(hidden, recurrent_state, self.gru)
        outputs = torch.cat([outputs, newest[:, None]], dim=1)
        keys = torch.cat([keys, self.a_1(newest)[:, None]], dim=1)
        readable = outputs.new_ones(1, outputs.shape[1], dtype=torch.bool)
        local = self._mix(self._scores(newest, keys)[:, None], outputs, readable)
        return self._finish(local[:, 0], newest), (recurrent_state, outputs, keys)

    def _scores(self, newest: Tensor, keys: Tensor) -> Tensor:
        """Scores of all keys [B, L, G] for the newest state of each history [B, G]: [B, L]."""
        return self.v_t(torch.sigmoid(keys + self.a_2(newest)[:, None])).squeeze(-1)  # type: ignore[no-any-return]

    def _mix(self, scores: Tensor, outputs: Tensor, readable: Tensor) -> Tensor:
        """Sums of the states, weighted by the scores: [B, T, G].

        Args:
            scores: the scores of T positions for all states [B, T, L].
            outputs: states [B, L, G].
            readable: True where a position may read a state; broadcasts to [B, T, L].
        """
        if self.softmax:
            weights = scores.masked_fill(~readable, -torch.inf).softmax(dim=-1)
        else:
            weights = scores.masked_fill(~readable, 0.0)
        mixed: Tensor = weights @ outputs
        return mixed

    def _finish(self, local: Tensor, newest: Tensor) -> Tensor:
        return self.b(self.output_dropout(torch.cat([local, newest], dim=-1)))  # type: ignore[no-any-return]
