"""Contrastive objectives: another objective's loss plus InfoNCE between two views of each user.

Shapes in brackets: B rows of a batch, D hidden width.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional

from seqzoo.config import structure
from seqzoo.data.batches import Windows
from seqzoo.data.splits import Split
from seqzoo.errors import ConfigError
from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.objectives.base import Inputs, Objective, WindowSettings
from seqzoo.objectives.rows import RowObjective
from seqzoo.parts.config import ContrastiveConfig
from seqzoo.plugins import catalogue

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["ContrastiveObjective", "info_nce", "of_all_processes"]


class ContrastiveObjective(Objective):
    """``main + weight * InfoNCE``; subclasses make the inputs and choose the two views.

    Histories are read as the main objective reads them. Under several processes every process
    contrasts its rows with those of all.
    """

    def __init__(self, config: ContrastiveConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.contrast_weight = config.contrast_weight
        self.temperature = config.contrast_temperature
        self.cosine = config.contrast_similarity == "cosine"
        spec = catalogue().objectives.get(config.main_objective)
        options = structure(spec.load_config(), config.main_options, "model.main_options")
        main = spec.load()(options, backbone)
        if not isinstance(main, RowObjective):
            raise ConfigError(
                f"setting 'main_objective' is '{config.main_objective}', which is contrastive "
                "itself or has no targets of its own; expected one such as next-item"
            )
        self.main = main
        self.needs = self.needs | main.needs
        self.changes_history = main.changes_history

    def plan(
        self, split: Split, settings: WindowSettings, generator: np.random.Generator
    ) -> list[Windows]:
        """The main objective's batches."""
        return self.main.plan(split, settings, generator)

    def loss(self, model: "SequenceModel", inputs: Inputs) -> Tensor:
        """The main objective's loss plus the weighted contrastive term."""
        hidden = self.main.encode(model, inputs.main.histories)
        loss = self.main.loss_of(model, hidden, inputs)
        for one, other in self.pairs(model, hidden, inputs):
            # A share without targets has no rows.
            rows = len(one) if inputs.weight else 0
            term = info_nce(
                of_all_processes(one[:rows]),
                of_all_processes(other[:rows]),
                self.temperature,
                self.cosine,
            )
            loss = loss + self.contrast_weight * term
        return loss

    @abstractmethod
    def pairs(
        self, model: "SequenceModel", hidden: Tensor, inputs: Inputs
    ) -> list[tuple[Tensor, Tensor]]:
        """Two vectors of each user, which should be similar: pairs of [B, D].

        Args:
            model: in training mode, so that two passes of one history differ by their dropout.
            hidden: what the main objective's ``encode`` returned for ``inputs.main``.
            inputs: the inputs of the batch.
        """

    def query(self, batch: SequenceBatch, max_length: int) -> SequenceBatch:
        """The history as the main objective reads it."""
        return self.main.query(batch, max_length)

    def read(self, model: "SequenceModel", batch: SequenceBatch) -> Tensor:
        """User vectors [B, D], as the main objective reads them."""
        return self.main.read(model, batch)


def info_nce(one: Tensor, other: Tensor, temperature: float = 1.0, cosine: bool = False) -> Tensor:
    """InfoNCE of two views of B users, whose negatives are the other 2B - 2 vectors: a scalar.

    For each of the 2B vectors: ``-log(exp(s_p) / (exp(s_p) + sum of exp(s_n)))`` with the
    similarities s of the other view of its user and of the vectors of all other users (CL4SRec,
    arXiv 2010.14395, equation 9; DuoRec, arXiv 2110.05730, equation 12). Other users with the same
    target count as negatives.

    Args:
        one: vectors [B, D].
        other: vectors of the same users [B, D].
        temperature: divisor of the similarities.
        cosine: whether the similarity is the cosine, not the dot product.
    """
    vectors = torch.cat([one, other]).float()
    if cosine:
        vectors = functional.normalize(vectors, dim=-1)
    scores = vectors @ vectors.T / temperature
    scores = scores.masked_fill(torch.eye(len(vectors), device=scores.device).bool(), -torch.inf)
    users = torch.arange(len(vectors), device=scores.device)
    return functional.cross_entropy(scores, users.roll(len(one)))


def of_all_processes(rows: Tensor) -> Tensor:
    """The rows of all processes, through which gradients reach this process's own: [B, D]."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    if distributed.get_world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    """All processes compute the same loss of all rows, and their gradients are averaged later.

    Each process's gradient covers its own rows only, so it is multiplied by their number.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        processes, own = distributed.get_world_size(), distributed.get_rank()
        counts = [torch.zeros((), dtype=torch.int64, device=rows.device) for _ in range(processes)]
        count = torch.tensor(len(rows), dtype=torch.int64, device=rows.device)
        distributed.all_gather(counts, count)
        sizes = [int(each) for each in counts]
        # Gathered tensors have one shape.
        padded = rows.new_zeros(max(sizes), rows.shape[1])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(processes)]
        distributed.all_gather(parts, padded)
        start = sum(sizes[:own])
        ctx.own, ctx.processes = slice(start, start + sizes[own]), processes
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        own: Tensor = ctx.processes * gradient[ctx.own]
        return own
