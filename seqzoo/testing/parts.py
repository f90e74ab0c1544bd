"""Checks of registered losses, metrics, protocols, data sets and commands.

Each takes a registered name and raises ``ConformanceError`` at the first check that fails.
"""

from typing import Any

import numpy as np
import torch
import typer

from seqzoo.config import structure
from seqzoo.data.datasets import load_interactions
from seqzoo.data.interactions import Interactions
from seqzoo.data.synthetic import synthetic
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.protocol import get_protocol
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.parts.heads import make_loss
from seqzoo.plugins import catalogue
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.splits import check_list_metric

__all__ = [
    "check_command",
    "check_config",
    "check_dataset",
    "check_loss",
    "check_metric",
    "check_protocol",
]

_CUTOFFS = (1, 5, 10)


def check_loss(name: str, **options: Any) -> None:
    """A loss is a finite scalar with finite gradients, and falls when the targets score higher."""
    torch.manual_seed(0)
    loss = make_loss(name, options)
    # Orthogonal item vectors: a step towards one item does not change the scores of the others.
    table = torch.eye(31)
    targets = torch.randint(1, 31, (64,))
    hidden = (0.1 * torch.randn(64, 31)).requires_grad_()
    value = loss(hidden, table, targets)
    if value.shape != () or not bool(value.isfinite()):
        raise ConformanceError(
            f"loss '{name}' returns {value!r}; expected a finite scalar, the mean over the targets"
        )
    (gradient,) = torch.autograd.grad(value, hidden)
    if not bool(gradient.isfinite().all()) or not bool(gradient.abs().sum() > 0):
        raise ConformanceError(
            f"the gradient of loss '{name}' is zero, NaN or infinite; compute the loss with torch "
            "operations on the scores"
        )
    towards = hidden + 0.5 * table[targets]
    torch.manual_seed(1)
    before = loss(hidden, table, targets)
    torch.manual_seed(1)
    after = loss(towards, table, targets)
    if not bool(after < before):
        raise ConformanceError(
            f"loss '{name}' does not fall when the targets score higher (it goes from "
            f"{float(before):.4g} to {float(after):.4g}); is the sign right?"
        )


def check_metric(name: str) -> None:
    """A metric is finite for every rank, never worse at a better rank, zero beyond its cutoff.

    For a metric of lists see ``check_list_metric``.
    """
    spec = catalogue().metrics.get(name)
    if spec.of == "lists":
        check_list_metric(name)
        return
    gain = spec.load()
    ranks = np.arange(1.0, 101.0)
    for cutoff in _CUTOFFS:
        values = np.asarray(gain(ranks.copy(), cutoff))
        if values.shape != ranks.shape or not np.isfinite(values).all():
            raise ConformanceError(
                f"metric '{name}' returns shape {values.shape} for {len(ranks)} ranks at cutoff "
                f"{cutoff}; expected one finite number for each rank"
            )
        if (np.diff(values) > 1e-12).any():
            raise ConformanceError(
                f"metric '{name}' is higher at a worse rank (cutoff {cutoff}); rank 1 is the best"
            )
        if np.abs(values[cutoff:]).max() > 0:
            raise ConformanceError(f"metric '{name}' is not zero beyond its cutoff {cutoff}")


def check_protocol(name: str) -> dict[str, float]:
    """A protocol gives all its metrics for an untrained model on generated data; returns them."""
    protocol = get_protocol(name)
    interactions = synthetic(users=60, items=40, mean_length=20)
    architectures = catalogue().architectures.names()
    if not architectures:
        raise ConformanceError(
            "no architecture is registered, and a protocol is checked with a model; "
            "`seqzoo plugins` shows what is installed"
        )
    torch.manual_seed(0)
    items = interactions.frame["item"].unique(maintain_order=True).to_list()
    model = SequenceModel.build(architectures[0], {"hidden_size": 8}, Vocabulary(items)).eval()
    # Generated data need no filter, unless the protocol sets one.
    settings = {"min_count": protocol.min_count or 1}
    measured = evaluate(model, interactions, name, settings=settings).metrics
    expected = {f"{metric}@{k}" for metric in protocol.metrics for k in protocol.cutoffs}
    if not expected <= set(measured):
        missing = ", ".join(sorted(expected - set(measured)))
        raise ConformanceError(f"protocol '{name}' lists {missing}, but does not measure it")
    return measured


def check_dataset(name: str, **options: Any) -> Interactions | None:
    """A generated data set gives the same valid interactions every time; returns them.

    One that is downloaded from its publisher is not fetched: only its URL, licence and citation are
    checked, and None is returned.
    """
    spec = catalogue().datasets.get(name)
    if spec.target is None:
        for field in ("url", "licence", "citation"):
            if not getattr(spec, field):
                raise ConformanceError(f"data set '{name}' is registered without {field}=")
        return None
    first, again = (
        load_interactions(name, specs=catalogue().datasets, options=options or None)
        for _ in range(2)
    )
    if not isinstance(first, Interactions):
        raise ConformanceError(
            f"data set '{name}' returns {type(first).__name__}; expected an Interactions, as "
            "Interactions.from_frame(…) makes"
        )
    if not first.frame.equals(again.frame):
        raise ConformanceError(
            f"data set '{name}' differs between two reads; use a fixed seed for what is random"
        )
    return first


def check_command(name: str) -> None:
    """A command can be used by typer and has a help text."""
    spec = catalogue().commands.get(name)
    target = spec.load()
    try:
        app = target if isinstance(target, typer.Typer) else typer.Typer(add_completion=False)
        if app is not target:
            app.command(name)(target)
        command = typer.main.get_command(app)
    except Exception as error:
        raise ConformanceError(
            f"command '{name}' cannot be used by typer: {type(error).__name__}: {error}"
        ) from error
    if not (spec.help or command.help):
        raise ConformanceError(f"command '{name}' has no help text; give help= or a docstring")


def check_config(kind: str, name: str) -> None:
    """The defaults of a part's settings are valid."""
    registry = next(r for r in catalogue().registries() if r.kind == kind)
    structure(registry.get(name).load_config(), {}, f"{kind} '{name}'")
