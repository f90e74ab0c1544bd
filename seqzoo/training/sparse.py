"""Training of large item tables: sparse gradients, and AdamW for the rows that a batch reads."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from seqzoo.errors import TrainingError
from seqzoo.model.sequence_model import SequenceModel

__all__ = ["RowwiseAdamW", "clip_gradients", "sparse_table"]

_DENSE = "set train.sparse_table=false"


def sparse_table(model: SequenceModel, processes: int) -> nn.Parameter:
    """Make the gradient of a model's item table sparse, and return the table.

    Raises:
        TrainingError: the loss reads all items, the table is not a parameter, or several processes
            take part.
    """
    if not getattr(model.head, "samples_items", False):
        raise TrainingError(
            "train.sparse_table needs a loss that samples items, the model's reads all of them; "
            f"set model.loss=sampled-softmax (or bce, gbce, bpr), or {_DENSE}"
        )
    if processes > 1:
        raise TrainingError(
            f"train.sparse_table works in one process, and {processes} take part; {_DENSE}"
        )
    table = model.embedder.item_table
    if not isinstance(table, nn.Parameter):
        raise TrainingError(
            f"train.sparse_table needs an item table that is a parameter; that of "
            f"{type(model.embedder).__name__} is computed; {_DENSE}"
        )
    model.embedder.sparse_gradients = True
    return table


class RowwiseAdamW(torch.optim.AdamW):
    """AdamW that changes only the rows of a table which have a gradient.

    Every row counts its own steps: it changes as AdamW would change it in the batches that read it,
    and the other batches neither decay it nor its moments. All other parameters have AdamW.

    Args:
        groups: parameter groups, with the table in one of them.
        table: the parameter [V + 1, D] with a sparse gradient.
        lr: learning rate.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], table: nn.Parameter, lr: float = 1e-3
    ) -> None:
        self._table = table
        super().__init__(groups, lr=lr)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step.

        Raises:
            TrainingError: the gradient of the table is dense.
        """
        gradient = self._table.grad
        # AdamW leaves parameters without a gradient as they are.
        self._table.grad = None
        result = super().step(closure)
        self._table.grad = gradient
        if gradient is not None:
            if not gradient.is_sparse:
                raise TrainingError(
                    "the gradient of the item table is dense: the embedder or the head does not "
                    f"support train.sparse_table; {_DENSE}"
                )
            self._change_rows(gradient.coalesce())
        return result

    def _change_rows(self, gradient: Tensor) -> None:
        table = self._table
        group = next(g for g in self.param_groups if any(p is table for p in g["params"]))
        state = self.state[table]
        if not state:
            # AdamW reads it when a state is loaded.
            state["step"] = torch.zeros(())
            state["row_steps"] = table.new_zeros(len(table), 1)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        rows, values = gradient.indices()[0], gradient.values()
        first, second = group["betas"]
        steps = state["row_steps"][rows] + 1
        mean = state["exp_avg"][rows].lerp_(values, 1 - first)
        square = state["exp_avg_sq"][rows].mul_(second).addcmul_(values, values, value=1 - second)
        state["row_steps"][rows], state["exp_avg"][rows] = steps, mean
        state["exp_avg_sq"][rows] = square
        scale = (square.sqrt() / (1 - second**steps).sqrt()).add_(group["eps"])
        changed = table[rows] * (1 - group["lr"] * group["weight_decay"])
        table[rows] = changed - group["lr"] * (mean / (1 - first**steps)) / scale


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale all gradients, sparse ones too, so that their norm is at most ``largest``."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        elif parameter.grad is not None:
            values.append(parameter.grad)
    norms = torch.stack([torch.linalg.vector_norm(value) for value in values])
    factor = (largest / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1.0)
    for value in values:
        value.mul_(factor)
