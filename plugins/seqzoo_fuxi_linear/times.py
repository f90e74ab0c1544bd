"""Damped oscillations between events, the temporal channel's weights.

For a period P of H and an event r seconds ago the weight is ``gamma^phi exp(i phi)``, with the
angle ``phi = 2 pi r / P``. Half of the channel's groups read its imaginary part (a sine), the other
half its real part (a cosine).

Seconds are subtracted as int64, and the turns r / P are computed in float64: float32 rounds current
unix seconds to 128 s, which leaves nothing of the angle of a short period.

Shapes in brackets: B histories, L positions, n chunks of c positions, H periods.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.ops.exporting import exporting
from seqzoo.ops.precision import widened
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_fuxi_linear.config import FuxiLinearConfig

__all__ = ["Clock", "Oscillations", "read_parts", "turned"]

_FADED = -80.0
"""Logarithm of the smallest size: exp is many times slower where its result is subnormal."""


@dataclass(frozen=True)
class Clock:
    """The weights between the events of a batch, for sums by chunks; all layers share them.

    A weight is the product of a size, which is computed for pairs, and of two turns (complex
    numbers of length one): that of its row, and the conjugate of that of its event, both since the
    start of the chunk.

    Attributes:
        sizes: for the rows of a chunk [B, n, H, c, 1 + c], of the state before the chunk and of the
            events of the chunk; zero for events after the row.
        rows: cosine and sine of the turns of the rows, each [B, n, H, c, 1].
        events: cosine and sine of the turns of the events, each [B, n, H, c, 1].
        written: sizes of the events in the state after the chunk [B, n, H, 1, c].
        kept: size of the state before the chunk in that after it [B, n, H, 1].
        turned: turn of the whole chunk [B, n, H, 1], complex.
    """

    sizes: Tensor
    rows: tuple[Tensor, Tensor]
    events: tuple[Tensor, Tensor]
    written: Tensor
    kept: Tensor
    turned: Tensor


class Oscillations(nn.Module):
    """The periods, and how fast their oscillations fade.

    Attributes:
        decay: logits of gamma [H] if they are learned, None where gamma is a half.
    """

    def __init__(self, config: FuxiLinearConfig) -> None:
        super().__init__()
        self.periods = config.periods
        self.next_times = config.time == "next"
        decay = nn.Parameter(torch.empty(len(self.periods))) if config.learn_decay else None
        self.decay = decay
        if decay is not None:
            nn.init.normal_(decay, 0.0, INITIAL_STD)

    def times(self, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """The time of each event and its query time: [B, L], int64.

        Both are zero without timestamps. Time that runs backwards counts as standing still, so the
        padding has the time of the newest event. Where no times of requests are given, they are
        those of the next events, and at the newest event its own.
        """
        events = batch.timestamps
        if events is None:
            events = torch.zeros_like(batch.items)
            return events, events
        if not exporting():
            # ONNX has no such operator; an exported model reads times in order, and clamps gaps.
            events = events.cummax(1).values
        if not self.next_times:
            return events, events
        queries = batch.query_times
        if queries is None:
            queries = torch.cat([events[:, 1:], events[:, -1:]], dim=1)
        return events, torch.maximum(queries, events)

    def factors(self, seconds: Tensor, dtype: torch.dtype) -> Tensor:
        """``gamma^phi exp(i phi)`` as pairs: seconds [...], int64 -> [..., H, 2]."""
        angles = self._angles(seconds, dtype)
        parts = torch.stack([angles.cos(), angles.sin()], dim=-1)
        sizes = self._sizes(seconds[..., None, None, None], dtype)[..., 0]
        return sizes * parts

    def clock(self, batch: SequenceBatch, chunk: int, dtype: torch.dtype) -> Clock:
        """The weights of a batch for chunks of ``chunk`` events."""
        events, queries = self.times(batch)
        missing = -events.shape[1] % chunk
        if missing:
            # Rows that nobody reads, at the time of the newest event.
            events, queries = (
                torch.cat([times, times[:, -1:].expand(-1, missing)], dim=1)
                for times in (events, queries)
            )
        events, queries = (torch.unflatten(times, 1, (-1, chunk)) for times in (events, queries))
        starts = events[..., :1]
        ends = torch.cat([starts[:, 1:], events[:, -1:, -1:]], dim=1)
        before = torch.cat([starts, events], dim=-1)
        seconds = (queries[..., None] - before[..., None, :]).clamp(min=0)
        whole = self._angles(ends - starts, dtype).mT
        return Clock(
            sizes=self._sizes(seconds[:, :, None], dtype).tril(1),
            rows=self._turns(queries - starts, dtype),
            events=self._turns(events - starts, dtype),
            written=self._sizes((ends - events)[:, :, None, None], dtype),
            kept=self._sizes((ends - starts)[:, :, None, None], dtype)[..., 0],
            turned=torch.complex(whole.cos(), whole.sin()),
        )

    def newest(self, batch: SequenceBatch, dtype: torch.dtype) -> Tensor:
        """The weights of all events for the newest one of each history: [B, 2H, L]."""
        events, queries = self.times(batch)
        seconds = (batch.gather_last(queries)[:, None] - events).clamp(min=0)
        real, imaginary = self.factors(seconds, dtype).unbind(-1)
        weights = torch.cat([imaginary, real], dim=-1).mT
        return weights.masked_fill(~batch.mask[:, None], 0.0)

    def _turns(self, seconds: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angles: seconds [B, n, c] -> [B, n, H, c, 1] each."""
        angles = self._angles(seconds, dtype).mT[..., None]
        return angles.cos(), angles.sin()

    def _angles(self, seconds: Tensor, dtype: torch.dtype) -> Tensor:
        """Angles in one turn: seconds [...], int64 -> [..., H]."""
        turns = seconds[..., None].double() / self._in_seconds(seconds, torch.float64)
        return 2.0 * math.pi * turns.frac().to(dtype)

    def _in_seconds(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        return torch.tensor(self.periods, dtype=dtype, device=like.device)

    def _sizes(self, seconds: Tensor, dtype: torch.dtype) -> Tensor:
        """``gamma^phi``: seconds [..., 1, R, S], int64 -> [..., H, R, S]."""
        angles = 2.0 * math.pi / self._in_seconds(seconds, dtype)
        if self.decay is None:
            rates = -math.log(2.0) * angles
        else:
            rates = functional.logsigmoid(widened(self.decay)).to(dtype) * angles
        return (rates[:, None, None] * seconds.to(dtype)).clamp(min=_FADED).exp()


def read_parts(pairs: Tensor) -> Tensor:
    """Imaginary parts of the first half of the groups, real parts of the second.

    [B, 2H, W, 2] -> [B, 2H, W].
    """
    sines, cosines = pairs.chunk(2, dim=1)
    return torch.cat([sines[..., 1], cosines[..., 0]], dim=1)


def turned(state: Tensor, factors: Tensor) -> Tensor:
    """Let states decay: [B, 2H, W, 2] and factors [B, H, 2] -> [B, 2H, W, 2]."""
    real, imaginary = torch.cat([factors, factors], dim=1)[:, :, None].unbind(-1)
    return torch.stack(
        [
            real * state[..., 0] - imaginary * state[..., 1],
            real * state[..., 1] + imaginary * state[..., 0],
        ],
        dim=-1,
    )
