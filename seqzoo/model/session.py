"""``Session``: streams the events of one user, with recommendations after each of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqzoo.checkpoint.schemas import SessionFile, SessionModel
from seqzoo.errors import CheckpointError, UnknownItemError, UsageError, error_text
from seqzoo.interfaces import State
from seqzoo.model.choice import read_choice
from seqzoo.model.context import read_event, window_batch
from seqzoo.model.events import Events, elapsed
from seqzoo.model.histories import ON_COLD
from seqzoo.model.inference import inference
from seqzoo.model.provenance import weights_digest
from seqzoo.model.session_file import (
    EVENTS,
    RESTORE,
    flatten,
    missing_file,
    read_session,
    unflatten,
    write_session,
)
from seqzoo.model.streaming import Streaming, step_items
from seqzoo.storage.integrity import sha256_of_document
from seqzoo.storage.messages import malformed
from seqzoo.validation import one_of, read_time, read_times

if TYPE_CHECKING:
    from seqzoo.model.recommendations import Recommendations
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "Session",
    "identity",
]


class Session:
    """The state of one user with a model.

    If no part of the model has a maximum length, the state has a constant size: the 10,000th event
    costs the same as the 10th, and the whole history counts (the model's own ``recommend`` reads
    only the newest ``max_length`` events). Otherwise the cache grows up to the maximum length.
    Beyond it, every event moves the window, which invalidates the cache: ``observe`` only stores
    the event, and the next recommendation encodes the window again, at the cost of the model's own
    ``recommend``. A model that keeps no state works like this from the first event on: one whose
    backbone or embedder does not stream, whose objective changes the history, or that reads what a
    step does not get, such as features of events.
    """

    def __init__(self, model: "SequenceModel", user: str | None = None) -> None:
        self.model = model
        self.user = user
        self._streaming = Streaming.of(model)
        self._events = Events(kept=None)
        self._embedder_state: State = None
        self._backbone_state: State = None
        if self._streaming.keeps_state(0):
            self._backbone_state = model.backbone.initial_state(1)
        self._hidden: Tensor | None = None

    def __len__(self) -> int:
        return self._events.count

    @property
    def hidden(self) -> Tensor:
        """The user's vector after the newest event [D].

        Raises:
            UsageError: nothing has been observed yet.
        """
        if not self._events.count:
            raise UsageError(
                "nothing has been observed yet; call observe(item) first, or recommend with "
                "on_cold='popular'"
            )
        if self._hidden is None:
            self._hidden = self._read_window(None)
        return self._hidden[0]

    def _answer(self, at: int) -> Tensor:
        """The user's vector [1, D] for a request at a time; nothing is kept of the request."""
        if self._backbone_state is None or self._events.newest is None:
            return self._read_window(at)
        waited = torch.tensor([at - self._events.newest], device=self.model.device)
        with inference(self.model):
            return self.model.backbone.answer(self._backbone_state, waited)

    def _read_window(self, at: int | None) -> Tensor:
        """The user's vector [1, D], from the newest events."""
        window = self._streaming.window
        batch = window_batch(self.model, [self._events], window, [at], [self.user])
        with inference(self.model):
            return self.model.read(batch.to(self.model.device))

    @property
    def state_bytes(self) -> int:
        """Bytes of the tensors that currently represent the user, including the user's vector.

        Once a session is longer than the model's maximum length, only the ids of its events are
        kept until the next recommendation computes the user's vector.
        """
        tensors: dict[str, Tensor] = {}
        flatten(self._states(), tensors)
        return sum(tensor.nbytes for tensor in tensors.values())

    def observe(self, item: str, timestamp: int | None = None, **features: Any) -> None:
        """Add one event.

        Args:
            item: an id of the model's vocabulary.
            timestamp: unix seconds, for models that use timestamps; not earlier than the previous
                one.
            features: values of the event, for models that read features.

        Raises:
            UnknownItemError: the model does not know the item; the session does not change.
            UsageError: the timestamp is missing although other events have one, is not a whole
                number, or is earlier than the previous one; or a feature is missing or unknown.
        """
        values = read_event(self.model, features)
        index = self.model.vocabulary.index(item)
        timestamp = None if timestamp is None else read_time(timestamp)
        gap = elapsed(self._events.count, self._events.newest, timestamp, "a session")
        if self._streaming.keeps_state(self._events.count):
            self._hidden, self._embedder_state, self._backbone_state = self._step(index, gap)
        else:
            self._embedder_state = self._backbone_state = self._hidden = None
        self._events.add(index, timestamp, values)

    def _step(self, index: int, gap: int | None) -> tuple[Tensor, State, State]:
        """The user's vector and the states of embedder and backbone after one more event."""
        gaps = None if gap is None else [gap]
        return step_items(self.model, [index], gaps, self._embedder_state, self._backbone_state)

    def recommend(
        self,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        at: int | None = None,
        on_unknown: str = "skip",
        on_cold: str = "error",
    ) -> "Recommendations":
        """The ``k`` best items after the events so far, best first.

        Arguments are as for the model's ``recommend_many``; ``at`` is the time of this request, and
        ``on_cold`` chooses the answer before the first event.

        Raises:
            UsageError: nothing has been observed yet and ``on_cold`` is ``error``, or ``k`` is out
                of range.
            UnknownItemError: no candidate is known, or an id is unknown and ``on_unknown`` is
                ``error``.
        """
        one_of("on_cold", on_cold, ON_COLD)
        if not self._events.count and on_cold != "error":
            return self.model.recommend(
                [],
                k,
                candidates=candidates,
                exclude=exclude,
                on_unknown=on_unknown,
                on_cold=on_cold,
            )
        queried = at is not None and self.model.reads.query_times and self._events.count > 0
        hidden = self._answer(read_time(at)) if queried else self.hidden[None]
        choice = read_choice(self.model.vocabulary, 1, k, candidates, exclude, on_unknown)
        seen = [self._events.seen] if exclude_seen else None
        return self.model.recommend_batches([([0], hidden)], choice, seen, on_cold, 1)[0]

    def save(self, folder: str | Path) -> None:
        """Write the session atomically into a folder of its own.

        Raises:
            CheckpointError: the folder cannot be written, or the state could not be restored.
        """
        write_session(
            folder,
            model=identity(self.model),
            items=[self.model.vocabulary.item(index) for index in self._events.items],
            timestamps=self._events.times.tolist(),
            user=self.user,
            features=self._events.features,
            states=self._states(),
        )

    @classmethod
    def restore(cls, model: "SequenceModel", folder: str | os.PathLike[str]) -> "Session":
        """Restore a session from a folder, for the model that it was saved with.

        Raises:
            UsageError: the folder holds no session, a damaged one, or one of another model.
        """
        session = cls(model)
        if (missing := missing_file(Path(folder))) is not None:
            raise UsageError(
                f"{folder} holds no session: {missing} does not exist; "
                "session.save(folder) writes it"
            )
        try:
            document, tensors = read_session(folder)
            if document.model != SessionModel(**identity(model)):
                raise UsageError(
                    f"{folder} holds a session of another model ('{document.model.name}' "
                    "with other settings or items); load the model that it was saved with"
                )
            session.user = document.user
            session._set_events(document)
            session._set_states(unflatten(document, tensors, model.device))
        except CheckpointError as error:
            raise UsageError(
                f"{folder} holds a session that cannot be read: {error}, or start a new session"
            ) from None
        return session

    def _states(self) -> dict[str, State]:
        return {
            "embedder": self._embedder_state,
            "backbone": self._backbone_state,
            "hidden": self._hidden,
        }

    def _set_events(self, document: SessionFile) -> None:
        try:
            items = [self.model.vocabulary.index(item) for item in document.items]
            times: list[int] | list[None] = [None] * len(items)
            if document.timestamps:
                times = read_times(document.timestamps, len(items))
        except (UnknownItemError, UsageError) as error:
            raise CheckpointError(f"{EVENTS}: {error}; {RESTORE}") from None
        wanted = self.model.reads.features
        if set(document.features) != set(wanted) or any(
            len(values) != len(items) for values in document.features.values()
        ):
            raise CheckpointError(
                f"{EVENTS} has the features {sorted(document.features)}; expected one value for "
                f"each event of: {', '.join(wanted) or 'none'}; {RESTORE}"
            )
        for index, (item, time) in enumerate(zip(items, times, strict=True)):
            values = {name: document.features[name][index] for name in wanted}
            self._events.add(item, time, values)

    def _set_states(self, states: dict[str, State]) -> None:
        """Take restored states, and step once from them to see that the model accepts them."""
        hidden = states["hidden"]
        shape = (1, self.model.embedder.item_table.shape[1])
        if hidden is not None and not (
            isinstance(hidden, Tensor) and hidden.is_floating_point() and hidden.shape == shape
        ):
            found = list(hidden.shape) if isinstance(hidden, Tensor) else hidden
            raise malformed(EVENTS, "'hidden'", found, f"floats of shape {list(shape)}", RESTORE)
        self._hidden = hidden
        self._embedder_state, self._backbone_state = states["embedder"], states["backbone"]
        events = self._events
        if not events.count or not self._streaming.keeps_state(events.count):
            return
        try:
            self._step(events.items[-1], None if events.newest is None else 0)
        # The parts of a model are third-party code, which may raise anything.
        except Exception as error:
            raise CheckpointError(
                f"{EVENTS} holds a state that the model does not accept ({error_text(error)}); "
                f"{RESTORE}"
            ) from error


def identity(model: "SequenceModel") -> dict[str, str]:
    """The name of a model and the hashes of what a saved session depends on."""
    return {
        "name": model.architecture,
        "config": sha256_of_document(model.config),
        "vocabulary": sha256_of_document(model.vocabulary.to_json()),
        "weights": weights_digest(model),
    }
