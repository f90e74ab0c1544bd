"""Run the conformance kit on a registered component, by its name, as ``seqzoo check`` does."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from seqzoo.checkpoint.find import find
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.config import model_config
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import SeqzooError, UnknownNameError, error_text, nearest
from seqzoo.evaluation.verify import verify_folder
from seqzoo.model.build import MissingFeatureError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec
from seqzoo.testing.conformance import CHECKS
from seqzoo.testing.items import build
from seqzoo.testing.objectives import check_objective
from seqzoo.testing.parts import (
    check_command,
    check_config,
    check_dataset,
    check_loss,
    check_metric,
    check_protocol,
)
from seqzoo.testing.splits import check_split

__all__ = ["ITEMS", "Outcome", "check_registered", "small_model"]

ITEMS = 30
_WIDTH = 16
_LENGTH = 20
_BY_NAME: dict[str, Callable[[str], object]] = {
    "loss": check_loss,
    "objective": check_objective,
    "split": check_split,
    "metric": check_metric,
    "protocol": check_protocol,
    "data set": check_dataset,
    "command": check_command,
}


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        subject: kind and name of what was checked, ``architecture sasrec`` for example.
        check: name of the check.
        ok: whether it passed.
        message: what is wrong; empty if it passed without a warning.
        seconds: how long it took.
        warning: whether the message is a warning, which is not a failure.
    """

    subject: str
    check: str
    ok: bool
    message: str
    seconds: float
    warning: bool = False


def small_model(architecture: str, **settings: Any) -> SequenceModel:
    """An untrained model of 30 items from a fixed seed, small if its sizes can be set."""
    everything = catalogue()
    spec = everything.architectures.get(architecture)
    known = model_config(spec, {}, everything)
    small = {"hidden_size": _WIDTH, "max_length": _LENGTH}
    chosen = {key: value for key, value in small.items() if key in known} | settings
    items = [f"item-{index}" for index in range(1, ITEMS + 1)]
    features: dict[str, list[str]] = {}
    while True:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                vocabulary = Vocabulary(items, features=features)
                return build(architecture, chosen, vocabulary).eval()
        except MissingFeatureError as error:
            # Which features a part reads is known when it is made.
            features[error.feature] = ["a", "b", "c"]


def check_registered(
    name: str,
    *,
    quick: bool = False,
    warn: Mapping[str, Callable[[SequenceModel], None]] | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Run every check of everything registered under a name.

    Args:
        name: a registered name. If a backbone and an architecture have it, for example, both are
            checked.
        quick: check a part in one of the architectures that use it, instead of in all of them.
        warn: more checks of an architecture, by their names; an error that they raise is a warning.
        settings: model settings, for architectures and their parts.

    Raises:
        UnknownNameError: nothing is registered under the name.
        ConfigError: a setting is unknown or has an invalid value.
    """
    registries = [r for r in catalogue().registries() if r.kind != "checkpoint"]
    registries.append(known_checkpoints())
    found = [registry for registry in registries if name in registry]
    if not found:
        known = sorted({known for registry in registries for known in registry.names()})
        raise UnknownNameError(
            f"nothing is registered as '{name}'{nearest(name, known) or ';'} `seqzoo plugins` "
            "shows what each plugin provides"
        )
    outcomes: list[Outcome] = []
    seen: set[str] = set()
    for registry in found:
        subject = f"{registry.kind} {name}"
        if registry.kind in _BY_NAME:
            outcomes.append(_run(subject, "behaviour", _BY_NAME[registry.kind], name))
        elif registry.kind == "checkpoint":
            outcomes += _checkpoint(name)
        else:
            if registry.kind != "architecture":
                check = partial(check_config, registry.kind)
                outcomes.append(_run(subject, "settings", check, name))
            with _one_thread(), _architectures(registry.kind, name) as using:
                for spec in using[:1] if quick else using:
                    if spec.name not in seen:
                        seen.add(spec.name)
                        if settings:
                            # An invalid setting is the caller's mistake, not a failed check.
                            model_config(spec, settings, catalogue())
                        outcomes += _architecture(spec.name, settings, warn or {})
    return outcomes


def _architecture(
    name: str, settings: dict[str, Any], warn: Mapping[str, Callable[[SequenceModel], None]]
) -> list[Outcome]:
    subject = f"architecture {name}"
    made: list[SequenceModel] = []
    built = _run(subject, "builds", lambda n: made.append(small_model(n, **settings)), name)
    if not built.ok:
        return [built]
    outcomes = [_run(subject, check, function, made[0]) for check, function in CHECKS.items()]
    warnings = [_run(subject, check, function, made[0]) for check, function in warn.items()]
    return [built, *outcomes, *(replace(each, ok=True, warning=not each.ok) for each in warnings)]


def _checkpoint(name: str) -> list[Outcome]:
    started = time.perf_counter()
    try:
        found = verify_folder(find(name)).checks
        checks = [(check.name, check.ok, check.detail) for check in found]
    except SeqzooError as error:
        checks = [("whole", False, str(error))]
    seconds = (time.perf_counter() - started) / len(checks)
    return [Outcome(f"checkpoint {name}", *check, seconds) for check in checks]


@contextmanager
def _architectures(kind: str, name: str) -> Iterator[list[ArchitectureSpec]]:
    """The architectures that use a part; a temporary one if there is none."""
    everything = catalogue()
    if kind == "architecture":
        yield [everything.architectures.get(name)]
        return
    using = [spec for spec in everything.architectures if getattr(spec, kind, None) == name]
    if using:
        yield using
        return
    parts = {"embedder": "item", "head": "tied-softmax", kind: name}
    if "backbone" not in parts:
        streaming = [spec.name for spec in everything.backbones if spec.causal and spec.streaming]
        if not streaming:
            yield []
            return
        parts["backbone"] = streaming[0]
    made = ArchitectureSpec(
        f"check-{name}", __name__, parts["embedder"], parts["backbone"], parts["head"]
    )
    with everything.architectures.lend(made):
        yield [made]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small models gain nothing from threads, and lose much to them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _run(subject: str, check: str, function: Callable[[Any], object], argument: Any) -> Outcome:
    started = time.perf_counter()
    ok, message = False, ""
    try:
        function(argument)
        ok = True
    except SeqzooError as error:
        message = str(error)
    except KeyboardInterrupt:
        raise
    # A part is third-party code and may raise anything; that is a failed check.
    except BaseException as error:
        message = f"raises {error_text(error)[:300]}"
    return Outcome(subject, check, ok, message, time.perf_counter() - started)
