"""``Session``: streams the events of one user, with recommendations after each of them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from seqzoo.checkpoint.schemas import SessionFile
from seqzoo.errors import CheckpointError, SeqzooError, UsageError
from seqzoo.interfaces import SequenceBatch, State
from seqzoo.model.histories import ON_COLD
from seqzoo.model.inference import inference
from seqzoo.model.provenance import weights_digest
from seqzoo.storage.atomic import locate, write_files
from seqzoo.storage.documents import read_json
from seqzoo.storage.integrity import read_bytes, sha256_of_bytes, sha256_of_document
from seqzoo.storage.tensors import tensors_bytes
from seqzoo.validation import one_of, read_time

if TYPE_CHECKING:
    from seqzoo.model.display import Recommendations
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "Session",
]

_EVENTS, _TENSORS = "session.json", "session.safetensors"
_LARGEST = 64 << 20


class Session:
    """The state of one user with a model.

    If no part of the model has a maximum length, the state has a constant size: the 10,000th event
    costs the same as the 10th, and the whole history counts (the model's own ``recommend`` reads
    only the newest ``max_length`` events). Otherwise the cache grows up to the maximum length.
    Beyond it, every event moves the window, which invalidates the cache: ``observe`` only stores
    the event, and the next recommendation encodes the window again, at the cost of the model's own
    ``recommend``.

    Raises:
        UsageError: the model's backbone cannot stream.
    """

    def __init__(self, model: "SequenceModel") -> None:
        if not model.backbone.streaming:
            raise UsageError(
                f"a model of architecture '{model.architecture}' cannot stream with its settings; "
                "use recommend() with the whole history"
            )
        self.model = model
        bounds = [model.embedder.max_length, model.backbone.max_length]
        self._bound = min((bound for bound in bounds if bound is not None), default=None)
        self._items: list[int] = []
        self._times: list[int] = []
        self._embedder_state: State = None
        self._backbone_state: State = model.backbone.initial_state(1)
        self._hidden: Tensor | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def hidden(self) -> Tensor:
        """The user's vector after the newest event [D].

        Raises:
            UsageError: nothing has been observed yet.
        """
        if not self._items:
            raise UsageError(
                "nothing has been observed yet; call observe(item) first, or recommend with "
                "on_cold='popular'"
            )
        if self._hidden is None:
            newest = slice(-(self._bound or 0), None)
            times = [self._times[newest]] if self._times else None
            window = SequenceBatch.from_histories([self._items[newest]], times)
            with inference(self.model):
                self._hidden = self.model.last(window.to(self.model.device))
        return self._hidden[0]

    @property
    def state_bytes(self) -> int:
        """Bytes of the tensors that currently represent the user, including the user's vector.

        Once a session is longer than the model's maximum length, only the ids of its events are
        kept until the next recommendation computes the user's vector.
        """
        return sum(tensor.nbytes for tensor in self._tensors()[1].values())

    def observe(self, item: str, timestamp: int | None = None) -> None:
        """Add one event.

        Args:
            item: an id of the model's vocabulary.
            timestamp: unix seconds, for models that use timestamps; not earlier than the previous
                one.

        Raises:
            UnknownItemError: the model does not know the item; the session does not change.
            UsageError: the timestamp is missing although other events have one, is not a whole
                number, or is earlier than the previous one.
        """
        index = self.model.vocabulary.index(item)
        timestamp = None if timestamp is None else read_time(timestamp)
        self._check_time(timestamp)
        if self._bound is not None and len(self._items) >= self._bound:
            self._embedder_state = self._backbone_state = self._hidden = None
        else:
            self._step(index, timestamp)
        self._items.append(index)
        if timestamp is not None:
            self._times.append(timestamp)

    def _step(self, index: int, timestamp: int | None) -> None:
        """Advance the cached state by one event."""
        device = self.model.device
        elapsed = None
        if timestamp is not None:
            previous = self._times[-1] if self._times else timestamp
            elapsed = torch.tensor([timestamp - previous], device=device)
        with inference(self.model):
            vectors, embedder_state = self.model.embedder.step(
                torch.tensor([index], device=device), self._embedder_state
            )
            self._hidden, self._backbone_state = self.model.backbone.step(
                vectors, self._backbone_state, elapsed
            )
            self._embedder_state = embedder_state

    def recommend(
        self,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        on_unknown: str = "skip",
        on_cold: str = "error",
    ) -> "Recommendations":
        """The ``k`` best items after the events so far, best first.

        Arguments are as for the model's ``recommend_many``; ``on_cold`` chooses the answer before
        the first event.

        Raises:
            UsageError: nothing has been observed yet and ``on_cold`` is ``error``, or ``k`` is out
                of range.
            UnknownItemError: no candidate is known, or an id is unknown and ``on_unknown`` is
                ``error``.
        """
        one_of("on_cold", on_cold, ON_COLD)
        if not self._items and on_cold != "error":
            return self.model.recommend(
                [],
                k,
                candidates=candidates,
                exclude=exclude,
                on_unknown=on_unknown,
                on_cold=on_cold,
            )
        seen = [self._items] if exclude_seen else None
        hidden = self.hidden[None]
        return self.model.recommend_valid(hidden, k, seen, candidates, exclude, on_unknown)[0]

    def save(self, folder: str | Path) -> None:
        """Write the session atomically into a folder of its own.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        state, tensors = self._tensors()
        content = tensors_bytes(tensors)
        document = {
            "model": _identity(self.model),
            "items": [self.model.vocabulary.item(index) for index in self._items],
            "timestamps": self._times,
            "state": state,
            "tensors": sha256_of_bytes(content),
        }
        document["sha256"] = sha256_of_document(document)
        write_files(folder, {_EVENTS: json.dumps(document).encode(), _TENSORS: content})

    @classmethod
    def restore(cls, model: "SequenceModel", folder: str | os.PathLike[str]) -> "Session":
        """Restore a session from a folder, for the model that it was saved with.

        Raises:
            UsageError: the folder holds no session, a damaged one, or one of another model.
        """
        session = cls(model)
        if not (Path(folder) / _EVENTS).exists():
            raise UsageError(
                f"{folder} holds no session: {_EVENTS} does not exist; "
                "session.save(folder) writes it"
            )
        try:
            path = locate(folder, _EVENTS)
            document = read_json(path, read_bytes(path, _LARGEST), SessionFile)
            content = locate(folder, _TENSORS).read_bytes()
            whole = document.pop("sha256") == sha256_of_document(document)
            if not whole or document["tensors"] != sha256_of_bytes(content):
                raise ValueError("its checksum differs, so the files are damaged")
            tensors = load_tensors(content)
            if document["model"] != _identity(model):
                raise UsageError(
                    f"{folder} holds a session of another model ('{document['model']['name']}' "
                    "with other settings or items); load the model that it was saved with"
                )
            session._items = [model.vocabulary.index(item) for item in document["items"]]
            session._times = [int(time) for time in document["timestamps"]]
            state = _unflatten(document["state"], tensors, model.device)
            session._embedder_state = state["embedder"]
            session._backbone_state = state["backbone"]
            session._hidden = state["hidden"]
        except (
            CheckpointError,
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            SafetensorError,
        ) as error:
            raise UsageError(
                f"{folder} holds a session that cannot be read ({error}); start a new one"
            ) from None
        return session

    def _tensors(self) -> tuple[Any, dict[str, Tensor]]:
        """The state as plain JSON that names tensors, and the tensors."""
        tensors: dict[str, Tensor] = {}
        state = {
            "embedder": self._embedder_state,
            "backbone": self._backbone_state,
            "hidden": self._hidden,
        }
        return _flatten(state, tensors), tensors

    def _check_time(self, timestamp: int | None) -> None:
        if self._items and (timestamp is None) == bool(self._times):
            raise UsageError(
                "give a timestamp with every event of a session or with none; this one has "
                f"{len(self._times)} for {len(self._items)} events"
            )
        if timestamp is not None and self._times and timestamp < self._times[-1]:
            raise UsageError(
                f"timestamp {timestamp} is earlier than that of the previous event "
                f"({self._times[-1]}); observe events in time order"
            )


def _identity(model: "SequenceModel") -> dict[str, str]:
    return {
        "name": model.architecture,
        "config": sha256_of_document(model.config),
        "vocabulary": sha256_of_document(model.vocabulary.to_json()),
        "weights": weights_digest(model),
    }


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON in which each tensor is replaced by its name."""
    if isinstance(value, Tensor):
        name = f"state.{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {key: _flatten(item, tensors) for key, item in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_flatten(item, tensors) for item in value]}
    if isinstance(value, list):
        return {"list": [_flatten(item, tensors) for item in value]}
    if value is None or isinstance(value, int | float | str):
        return {"value": value}
    raise SeqzooError(
        f"a session's state holds {type(value).__name__}, which cannot be saved; "
        "use tensors, numbers, lists, tuples and dicts"
    )


def _unflatten(value: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content].to(device)
    if kind == "dict":
        return {key: _unflatten(item, tensors, device) for key, item in content.items()}
    if kind in ("tuple", "list"):
        items = [_unflatten(item, tensors, device) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
