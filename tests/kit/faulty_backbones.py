"""A backbone without faults, and one with each fault that the conformance kit must find."""

import itertools
from dataclasses import dataclass, field

import torch
from torch import nn

from seqzoo.interfaces import Backbone


@dataclass
class Config:
    hidden_size: int = 64


@dataclass
class UnevenConfig(Config):
    sizes: dict[int, int] = field(default_factory=lambda: {1: 2})


@dataclass
class OverriddenConfig(Config):
    """The embedder has this setting too, with another default."""

    norm_eps: float = 1e-5


class Sound(Backbone):
    """A decaying sum, which passes all checks."""

    causal = True
    streaming = True

    def __init__(self, config):
        super().__init__()
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden, batch):
        state, outputs = self.initial_state(len(hidden)), []
        for position in range(hidden.shape[1]):
            output, state = self.step(hidden[:, position], state, None)
            outputs.append(output)
        return torch.stack(outputs, 1)

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, len(self.mix.weight))

    def step(self, hidden, state, elapsed):
        state = 0.5 * state + hidden
        return self.mix(state), state


class LeaksTheFuture(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden + hidden.flip(1).cumsum(1).flip(1))


class IgnoresPadding(Sound):
    causal = False
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden + hidden.mean(1, keepdim=True))


class StepDiffers(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) + 0.1 * hidden


class SharesState(Sound):
    """The state is kept in the module and modified in place."""

    def initial_state(self, batch_size):
        self.kept = super().initial_state(batch_size)
        return self.kept

    def step(self, hidden, state, elapsed):
        self.kept.mul_(0.5).add_(hidden)
        return self.mix(self.kept), self.kept


class WrongShape(Sound):
    def last(self, hidden, batch):
        return super().last(hidden, batch)[:, None]


class NotDeterministic(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return nn.functional.dropout(super().forward(hidden, batch), 0.5, training=True)


class UnusedParameter(Sound):
    def __init__(self, config):
        super().__init__(config)
        self.forgotten = nn.Parameter(torch.ones(3))


class BreaksOnLengthOne(Sound):
    def forward(self, hidden, batch):
        if hidden.shape[1] == 1:
            raise RuntimeError("stack expects a non-empty list")
        return super().forward(hidden, batch)


class BreaksAtBatchOne(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden.squeeze(0).cumsum(-2))


class ReadsTimes(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) * (1 + batch.timestamps[..., None] % 7)


class SaysUsesTime(Sound):
    uses_time = True


class LooksAheadInTraining(Sound):
    """In evaluation mode it is causal."""

    def forward(self, hidden, batch):
        outputs = super().forward(hidden, batch)
        return outputs + hidden.flip(1).cumsum(1).flip(1) if self.training else outputs


class NormalisesGaps(Sound):
    """Gaps relative to a statistic of the whole history, which a constant shift leaves alone."""

    streaming = False
    uses_time = True

    def forward(self, hidden, batch):
        gaps = batch.timestamps.diff(dim=1, prepend=batch.timestamps[:, :1]).float()
        real = gaps.masked_fill(~batch.mask, torch.nan)[:, 1:]
        scale = self.statistic(real)[:, None].clamp(min=1.0) if real.shape[1] else 1.0
        return super().forward(hidden * (1.0 + (gaps / scale).clamp(0, 10))[..., None], batch)


class DividesByTheSmallestGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nan_to_num(torch.inf).amin(1)


class DividesByTheLargestGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nan_to_num(0.0).amax(1)


class DividesByTheMedianGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nanmedian(1).values.nan_to_num(1.0)


class StateNotBatchFirst(Sound):
    def initial_state(self, batch_size):
        return super().initial_state(batch_size).T

    def step(self, hidden, state, elapsed):
        output, state = super().step(hidden, state.T, elapsed)
        return output, state.T


class StateOfSquareShape(Sound):
    """Three layers' sums [layers, B, D] where the kit has three users: the shape alone is right."""

    def initial_state(self, batch_size):
        return super().initial_state(batch_size).expand(3, -1, -1)

    def step(self, hidden, state, elapsed):
        output, newest = super().step(hidden, state[2] / 2.0, elapsed)
        scale = torch.arange(3.0)[:, None, None]
        return output, newest * scale


class StateWithACount(Sound):
    """A number of events for all users together, as a tensor."""

    def initial_state(self, batch_size):
        return super().initial_state(batch_size), torch.tensor(0)

    def step(self, hidden, state, elapsed):
        output, total = super().step(hidden, state[0], elapsed)
        return output, (total, state[1] + 1)


class GivesNanGradients(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) + 0.0 * (0.0 * self.mix.weight).sum().abs().sqrt()


class KeepsHiddenState(Sound):
    """A value that is neither a parameter nor a buffer, so it is not saved."""

    counter = itertools.count(1)

    def __init__(self, config):
        super().__init__(config)
        self.factor = next(self.counter)

    def step(self, hidden, state, elapsed):
        output, state = super().step(hidden, state, elapsed)
        return self.factor * output, state


FAULTS = [
    (LeaksTheFuture, Config, "causality", "causality"),
    (IgnoresPadding, Config, "padding invariance", "padding"),
    (StepDiffers, Config, "streaming", "step by step differs"),
    (SharesState, Config, "streaming", "streaming"),
    (WrongShape, Config, "lengths", "shape"),
    (NotDeterministic, Config, "determinism", "two passes"),
    (UnusedParameter, Config, "gradients", "forgotten"),
    (BreaksOnLengthOne, Config, "lengths", "non-empty list"),
    (BreaksAtBatchOne, Config, "batch invariance", "batch"),
    (Sound, UnevenConfig, "round trip", ""),
    (Sound, OverriddenConfig, "settings", "'norm_eps' is 1e-12 in 'item' and 1e-05 in 'planted'"),
    (ReadsTimes, Config, "capabilities", "uses_time is False"),
    (SaysUsesTime, Config, "capabilities", "uses_time is True"),
    (KeepsHiddenState, Config, "round trip", "scores differently"),
    (LooksAheadInTraining, Config, "causality", "in train mode, other items"),
    (DividesByTheSmallestGap, Config, "causality", "in evaluation mode, other timestamps"),
    (DividesByTheLargestGap, Config, "causality", "in evaluation mode, other timestamps"),
    (DividesByTheMedianGap, Config, "causality", "in evaluation mode, other timestamps"),
    (StateNotBatchFirst, Config, "streaming", "shape (16, 3); the first dimension must be"),
    (StateOfSquareShape, Config, "streaming", "reordered along the first dimension"),
    (StateWithACount, Config, "streaming", "shape (); the first dimension must be the batch"),
    (GivesNanGradients, Config, "gradients", "mix.weight' is NaN or infinite"),
]
