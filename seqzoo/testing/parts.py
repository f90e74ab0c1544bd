"""Checks of registered things other than models: losses, metrics, protocols, data sets, commands.

Each takes a registered name and raises ``ConformanceError`` at the first promise that is not kept.
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

_CUTOFFS = (1, 5, 10)


def check_loss(name: str, **options: Any) -> None:
    """A loss is a finite number that falls as the targets' scores rise, with finite gradients."""
    torch.manual_seed(0)
    loss = make_loss(name, options)
    # Items at right angles: a step towards one changes no other's score.
    table = torch.eye(31)
    targets = torch.randint(1, 31, (64,))
    hidden = (0.1 * torch.randn(64, 31)).requires_grad_()
    value = loss(hidden, table, targets)
    if value.shape != () or not bool(value.isfinite()):
        raise ConformanceError(
            f"loss '{name}' gives {value!r}; expected one finite number, the mean over the targets"
        )
    (gradient,) = torch.autograd.grad(value, hidden)
    if not bool(gradient.isfinite().all()) or not bool(gradient.abs().sum() > 0):
        raise ConformanceError(
            f"loss '{name}' has no finite gradient that is not zero; keep to torch's operations"
        )
    towards = hidden + 0.5 * table[targets]
    torch.manual_seed(1)
    before = loss(hidden, table, targets)
    torch.manual_seed(1)
    after = loss(towards, table, targets)
    if not bool(after < before):
        raise ConformanceError(
            f"loss '{name}' does not fall when the targets score higher ({float(before):.4g} to "
            f"{float(after):.4g}); is its sign right?"
        )


def check_metric(name: str) -> None:
    """A metric gives each place a number, never falls towards the top, and is zero far down."""
    gain = catalogue().metrics.get(name).load()
    places = np.arange(1.0, 101.0)
    for cutoff in _CUTOFFS:
        values = np.asarray(gain(places.copy(), cutoff))
        if values.shape != places.shape or not np.isfinite(values).all():
            raise ConformanceError(
                f"metric '{name}' gives {values.shape} for {places.shape} places at cutoff "
                f"{cutoff}; expected one finite number for each place"
            )
        if (np.diff(values) > 1e-12).any():
            raise ConformanceError(
                f"metric '{name}' gains more at a worse place (cutoff {cutoff}); places count "
                "from 1, the best"
            )
        if np.abs(values[cutoff:]).max() > 0:
            raise ConformanceError(
                f"metric '{name}' gains something beyond its cutoff {cutoff}; expected zero there"
            )


def check_protocol(name: str) -> dict[str, float]:
    """A protocol measures a fresh model on generated data; returns the figures."""
    protocol = get_protocol(name)
    interactions = synthetic(users=60, items=40, mean_length=20)
    architectures = catalogue().architectures.names()
    if not architectures:
        raise ConformanceError("no architecture is registered that a protocol could measure")
    torch.manual_seed(0)
    items = interactions.frame["item"].unique(maintain_order=True).to_list()
    model = SequenceModel.build(architectures[0], {"hidden_size": 8}, Vocabulary(items)).eval()
    # Generated data need no filter; a protocol's own one stays.
    settings = {"min_count": protocol.min_count or 1}
    figures = evaluate(model, interactions, name, settings=settings).metrics
    expected = {f"{metric}@{k}" for metric in protocol.metrics for k in protocol.cutoffs}
    if not expected <= set(figures):
        missing = ", ".join(sorted(expected - set(figures)))
        raise ConformanceError(f"protocol '{name}' promises {missing}, which is not measured")
    return figures


def check_dataset(name: str, **options: Any) -> Interactions | None:
    """A generated data set gives the same checked interactions each time; returns them.

    One that is at its publisher's is not downloaded: it must say where, and its terms.
    """
    spec = catalogue().datasets.get(name)
    if spec.target is None:
        for field in ("url", "licence", "citation"):
            if not getattr(spec, field):
                raise ConformanceError(f"data set '{name}' is registered without its {field}")
        return None
    first, again = (
        load_interactions(name, specs=catalogue().datasets, options=options or None)
        for _ in range(2)
    )
    if not isinstance(first, Interactions):
        raise ConformanceError(
            f"data set '{name}' gives {type(first).__name__}; expected Interactions.from_frame(…)"
        )
    if not first.frame.equals(again.frame):
        raise ConformanceError(
            f"data set '{name}' differs from one reading to the next; seed what is random"
        )
    return first


def check_command(name: str) -> None:
    """A command is one that typer takes, and has a line of help."""
    spec = catalogue().commands.get(name)
    target = spec.load()
    try:
        app = target if isinstance(target, typer.Typer) else typer.Typer(add_completion=False)
        if app is not target:
            app.command(name)(target)
        command = typer.main.get_command(app)
    except Exception as error:
        raise ConformanceError(
            f"command '{name}' has a form that typer does not take: {type(error).__name__}: {error}"
        ) from error
    if not (spec.help or command.help):
        raise ConformanceError(f"command '{name}' has no help; give help= or a docstring")


def check_config(kind: str, name: str) -> None:
    """A part's settings have defaults that it takes itself."""
    registry = next(r for r in catalogue().registries() if r.kind == kind)
    structure(registry.get(name).load_config(), {}, f"{kind} '{name}'")
