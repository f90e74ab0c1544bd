"""Recommends items with an exported model; needs onnxruntime and numpy only.

    from runner import Recommender

    model = Recommender("deployed")
    model.recommend(["1", "260"], k=5)

or ``python runner.py --history 1 260 -k 5``.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["Recommender", "RunnerError", "Session"]

MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.json"
HISTORY, RECOMMEND = "history.onnx", "recommend.onnx"
EVENT, ANSWER = "event.onnx", "answer.onnx"
FORMAT = 1
_POSITIONS, _PAIRS, _SCORES = 1 << 17, 1 << 25, 1 << 25
"""Numbers of positions, of pairs of positions, and of scores that are computed at once."""
_REMEDY = "export the model again, or copy the whole folder again"
_NO_TIMES = "at is the time of a request; give the timestamps of the events too"

# The keys that are read, and the types of their values.
_MANIFEST_KEYS = {
    "max_length": (int,),
    "uses_time": (bool,),
    "uses_query_time": (bool,),
    "streaming": (bool,),
    "state_events": (int, type(None)),
    "state": (list,),
    "files": (dict,),
}
_STATE_KEYS = {"dtype": (str,), "shape": (list,), "initial": (int, float, list)}
_FILE_KEYS = {"sha256": (str,)}
_VOCABULARY_KEYS = {"items": (list,)}


class RunnerError(Exception):
    """The folder is damaged, or what was given cannot be used."""


class Recommender:
    """An exported model.

    Args:
        folder: the exported folder.
        threads: number of threads of onnxruntime.

    Raises:
        RunnerError: a file is missing, differs from what was exported, or is not what an export
            writes.
    """

    def __init__(self, folder: "str | Path" = Path(__file__).parent, threads: int = 1) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        files = {
            name: _read(self.folder, name, entry)
            for name, entry in self.manifest["files"].items()
            if not name.endswith(".pt2")  # a program of torch
        }
        vocabulary = _read_vocabulary(self.folder / VOCABULARY, files[VOCABULARY])
        self.items: list[str] = vocabulary["items"]
        self.labels: list[Any] | None = vocabulary.get("labels")
        self.index = {item: index for index, item in enumerate(self.items, start=1)}
        self.max_length: int = self.manifest["max_length"]
        self.uses_time: bool = self.manifest["uses_time"]
        self.uses_query_time: bool = self.manifest["uses_query_time"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        sessions: dict[str, Any] = {
            name: onnxruntime.InferenceSession(files[name], options, ["CPUExecutionProvider"])
            for name in _computations(self.manifest)
        }
        self._history, self._best = sessions[HISTORY], sessions[RECOMMEND]
        self._event: Any = sessions.get(EVENT)
        self._answer: Any = sessions.get(ANSWER)
        self._state = [
            _initial(f"{self.folder / MANIFEST}: state {index}", state)
            for index, state in enumerate(self.manifest["state"])
        ]

    def encode(
        self,
        histories: Sequence[Sequence[str]],
        timestamps: "Sequence[Sequence[int]] | None" = None,
        at: "Sequence[int] | None" = None,
    ) -> Any:
        """User vectors [B, D] of histories of item ids; arguments as of ``recommend_many``.

        Raises:
            RunnerError: a history has no known item, or the timestamps do not fit.
        """
        return self._encode(*self._known(histories, timestamps), at)

    def recommend(
        self,
        history: Sequence[str],
        k: int = 10,
        *,
        timestamps: "Sequence[int] | None" = None,
        at: "int | None" = None,
        exclude_seen: bool = True,
        exclude: Sequence[str] = (),
    ) -> list[tuple[str, float]]:
        """The ``k`` best items after one history, best first, with their scores."""
        return self.recommend_many(
            [history],
            k,
            timestamps=None if timestamps is None else [timestamps],
            at=None if at is None else [at],
            exclude_seen=exclude_seen,
            exclude=exclude,
        )[0]

    def recommend_many(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        timestamps: "Sequence[Sequence[int]] | None" = None,
        at: "Sequence[int] | None" = None,
        exclude_seen: bool = True,
        exclude: Sequence[str] = (),
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` best items after each history, best first, with their scores.

        Args:
            histories: item ids of each user, oldest first; unknown items are skipped.
            k: number of items.
            timestamps: unix seconds of each event, for models that use them.
            at: unix seconds of each user's request, for models that use it; None for the time of
                the newest event.
            exclude_seen: leave out the items of the history.
            exclude: ids of items that are never recommended.

        Raises:
            RunnerError: a history has no known item, the timestamps do not fit, ``k`` is out of
                range, or a score is not a number.
        """
        rows, times = self._known(histories, timestamps)
        vectors = self._encode(rows, times, at)
        return self._rank(vectors, k, rows if exclude_seen else None, exclude)

    def session(self) -> "Session":
        """A session of one user, one event at a time."""
        return Session(self)

    def _known(
        self,
        histories: Sequence[Sequence[str]],
        timestamps: "Sequence[Sequence[int]] | None",
    ) -> tuple[list[list[int]], "list[list[int]] | None"]:
        """Item indices and timestamps of the known events."""
        if not histories:
            raise RunnerError("histories is empty; give the item ids of at least one user")
        if timestamps is not None and (
            len(timestamps) != len(histories)
            or any(len(a) != len(b) for a, b in zip(histories, timestamps))  # noqa: B905
        ):
            raise RunnerError("timestamps need one number for each item of each history")
        rows, times = [], []
        for user, history in enumerate(histories):
            known = [index for index, item in enumerate(history) if item in self.index]
            if not known:
                raise RunnerError(f"history {user + 1} has no item that the model knows")
            rows.append([self.index[history[index]] for index in known])
            if timestamps is not None:
                own = [int(timestamps[user][index]) for index in known]
                if any(a > b for a, b in zip(own, own[1:])):  # noqa: B905, RUF007
                    raise RunnerError(f"the timestamps of history {user + 1} do not ascend")
                times.append(own)
        return rows, times if timestamps is not None else None

    def _encode(
        self,
        rows: list[list[int]],
        times: "list[list[int]] | None",
        at: "Sequence[int] | None" = None,
    ) -> Any:
        """User vectors of item indices, in batches that take bounded memory."""
        if at is not None and self.uses_query_time:
            if times is None:
                raise RunnerError(_NO_TIMES)
            if len(at) != len(rows):
                raise RunnerError(
                    f"at has {len(at)} entries for {len(rows)} histories; "
                    "give one timestamp for each"
                )
        longest = min(self.max_length, max(map(len, rows)))
        # A model may fill the window with padding, however short the histories are.
        size = max(1, min(_POSITIONS // self.max_length, _PAIRS // longest**2))
        found = []
        for start in range(0, len(rows), size):
            some = slice(start, start + size)
            requested = None if at is None else at[some]
            found.append(self._encode_batch(rows[some], times and times[some], requested))
        return np.concatenate(found)

    def _encode_batch(
        self,
        rows: list[list[int]],
        times: "list[list[int]] | None",
        at: "Sequence[int] | None",
    ) -> Any:
        newest = slice(-self.max_length, None)
        cut = [row[newest] for row in rows]
        lengths = np.array([len(row) for row in cut], dtype=np.int64)
        given = {"items": _padded(cut), "lengths": lengths}
        if self.uses_time:
            # Without timestamps all events count as simultaneous.
            own = [[0] * len(row) for row in cut] if times is None else [t[newest] for t in times]
            given["timestamps"] = _padded(own)
            if self.uses_query_time:
                # A position answers for the time of the event after it, the newest for the request.
                last = [row[-1] for row in own] if at is None else [int(time) for time in at]
                given["query_times"] = _padded(
                    [[*row[1:], time] for row, time in zip(own, last)]  # noqa: B905
                )
        return self._history.run(None, given)[0]

    def _rank(
        self,
        vectors: Any,
        k: int,
        seen: "Sequence[Iterable[int]] | None",
        exclude: Sequence[str],
    ) -> list[list[tuple[str, float]]]:
        """The best items of user vectors, in batches that take bounded memory."""
        if not 1 <= k <= len(self.items):
            raise RunnerError(f"k is {k}; expected 1 to {len(self.items)}")
        never = [self.index[item] for item in exclude if item in self.index]
        size = max(1, _SCORES // len(self.items))
        found = []
        for start in range(0, len(vectors), size):
            some = slice(start, start + size)
            found += self._rank_batch(vectors[some], k, seen and seen[some], never)
        return found

    def _rank_batch(
        self, vectors: Any, k: int, seen: "Sequence[Iterable[int]] | None", never: Sequence[int]
    ) -> list[list[tuple[str, float]]]:
        pairs = [
            (row, item)
            for row in range(len(vectors))
            for item in {*(seen[row] if seen is not None else ()), *never}
        ]
        rows, excluded = np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()
        given = {"user_vectors": vectors, "rows": rows, "excluded": excluded}
        scores, items = self._best.run(None, {**given, "k": np.array([k], dtype=np.int64)})
        if np.isnan(scores).any():
            raise RunnerError(f"a score is not a number: the weights are damaged; {_REMEDY}")
        return [
            [(self.items[item - 1], float(score)) for item, score in zip(*row) if score != -np.inf]  # noqa: B905
            for row in zip(items, scores)  # noqa: B905
        ]


class Session:
    """The events of one user. Each costs the same where the model keeps a state of fixed size.

    Beyond the number of events up to which the model keeps a state, and for a model without one,
    the newest events are read again for each recommendation.
    """

    def __init__(self, model: Recommender) -> None:
        self._model = model
        self._items: list[int] = []
        self._times: list[int] = []
        self._state = list(model._state)
        self._vector: Any = None

    def __len__(self) -> int:
        return len(self._items)

    def observe(self, item: str, timestamp: "int | None" = None) -> None:
        """Add one event.

        Raises:
            RunnerError: the item is unknown, or the timestamp is missing or before the last one.
        """
        model = self._model
        if item not in model.index:
            raise RunnerError(f"the model does not know the item {item!r}")
        if self._items and (timestamp is None) == bool(self._times):
            raise RunnerError("either all events of a session have timestamps or none")
        gap = 0
        if timestamp is not None:
            gap = int(timestamp) - self._times[-1] if self._times else 0
            if gap < 0:
                raise RunnerError(f"timestamp {timestamp} is before that of the last event")
        self._vector = None
        if self._streams(len(self)):
            given = {"item": np.array([model.index[item]], dtype=np.int64)}
            if model.uses_time:
                given["elapsed"] = np.array([gap], dtype=np.int64)
            for index, tensor in enumerate(self._state):
                given[f"state_{index}"] = tensor
            self._vector, *self._state = model._event.run(None, given)
        self._items.append(model.index[item])
        if timestamp is not None:
            self._times.append(int(timestamp))

    def _streams(self, before: int) -> bool:
        """Whether an event with so many before it advances the state."""
        bound = self._model.manifest["state_events"]
        return self._model._event is not None and (bound is None or before < bound)

    @property
    def vector(self) -> Any:
        """The user vector [D] after the newest event.

        Raises:
            RunnerError: there is no event yet.
        """
        if not self._items:
            raise RunnerError("nothing has been observed yet; call observe(item) first")
        if self._vector is None:
            times = [self._times] if self._times else None
            self._vector = self._model._encode([self._items], times)
        return self._vector[0]

    def vector_at(self, time: int) -> Any:
        """The user vector [D] for a request at a unix time, for models that use it.

        Raises:
            RunnerError: there is no event yet, or the events have no timestamps.
        """
        model = self._model
        if not self._items or not model.uses_query_time:
            return self.vector
        if not self._times:
            raise RunnerError(_NO_TIMES)
        if not self._streams(len(self) - 1):
            return model._encode([self._items], [self._times], [time])[0]
        given = {"waited": np.array([int(time) - self._times[-1]], dtype=np.int64)}
        given |= {f"state_{index}": tensor for index, tensor in enumerate(self._state)}
        return model._answer.run(None, given)[0][0]

    def recommend(
        self,
        k: int = 10,
        *,
        at: "int | None" = None,
        exclude_seen: bool = True,
        exclude: Sequence[str] = (),
    ) -> list[tuple[str, float]]:
        """The ``k`` best items after the events so far, best first, with their scores.

        ``at`` are the unix seconds of the request, for models that use it; None for the time of the
        newest event.
        """
        vector = (self.vector if at is None else self.vector_at(at))[None]
        return self._model._rank(vector, k, [self._items] if exclude_seen else None, exclude)[0]


def _padded(rows: list[list[int]]) -> Any:
    padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = _parsed(path, _content(path))
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise RunnerError(f"{path} has format {found}; this runner reads {FORMAT}")
    checked = _checked(f"{path}", manifest, _MANIFEST_KEYS)
    if checked["max_length"] < 1:
        raise RunnerError(f"{path}: 'max_length' is less than 1; {_REMEDY}")
    for index, state in enumerate(checked["state"]):
        _checked(f"{path}: state {index}", state, _STATE_KEYS)
    for name, entry in checked["files"].items():
        _checked(f"{path}: the file {name!r}", entry, _FILE_KEYS)
    for name in [VOCABULARY, *_computations(checked)]:
        if name not in checked["files"]:
            raise RunnerError(f"{path} names no file {name!r}; {_REMEDY}")
    return checked


def _computations(manifest: Mapping[str, Any]) -> list[str]:
    """The ONNX files that a model with this manifest has."""
    streamed = [EVENT, ANSWER] if manifest["uses_query_time"] else [EVENT]
    return [HISTORY, RECOMMEND, *(streamed if manifest["streaming"] else [])]


def _read_vocabulary(path: Path, content: bytes) -> dict[str, Any]:
    vocabulary = _checked(f"{path}", _parsed(path, content), _VOCABULARY_KEYS)
    if not vocabulary["items"] or not all(isinstance(item, str) for item in vocabulary["items"]):
        raise RunnerError(f"{path}: 'items' is not a list of at least one item id; {_REMEDY}")
    return vocabulary


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RunnerError(f"{path} is not JSON ({error}); {_REMEDY}") from None


def _checked(where: str, document: Any, keys: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """A document that is an object with these keys, each with a value of one of the types."""
    if not isinstance(document, dict):
        raise RunnerError(f"{where} has type {type(document).__name__}, expected dict; {_REMEDY}")
    for key, kinds in keys.items():
        if key not in document:
            raise RunnerError(f"{where} lacks {key!r}; {_REMEDY}")
        if type(document[key]) not in kinds:  # a bool is an int, too
            found = type(document[key]).__name__
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise RunnerError(f"{where}: {key!r} has type {found}, expected {expected}; {_REMEDY}")
    return document


def _initial(where: str, state: dict[str, Any]) -> Any:
    """A tensor of the state of a user before the first event."""
    try:
        return np.full(state["shape"], state["initial"], dtype=state["dtype"])
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise RunnerError(f"{where} is not a tensor ({error}); {_REMEDY}") from None


def _read(folder: Path, name: str, entry: dict[str, Any]) -> bytes:
    if Path(name).name != name:
        raise RunnerError(f"{folder / MANIFEST} names {name!r}, which is not a plain file name")
    content = _content(folder / name)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise RunnerError(f"{folder / name} differs from what was exported; copy the folder again")
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunnerError(f"{path} cannot be read: {error}") from None


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Print recommendations as one JSON document."""
    parser = argparse.ArgumentParser(description="Recommend items with an exported model.")
    parser.add_argument("--history", nargs="+", required=True, metavar="ITEM", help="oldest first")
    parser.add_argument("--timestamps", nargs="+", type=int, metavar="T", help="unix seconds")
    parser.add_argument("--at", type=int, metavar="T", help="unix seconds of the request")
    parser.add_argument("-k", type=int, default=10, metavar="N", help="number of items")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="exported folder")
    given = parser.parse_args(arguments)
    try:
        model = Recommender(given.folder)
        best = model.recommend(given.history, given.k, timestamps=given.timestamps, at=given.at)
    except RunnerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    shown = [{"item": item, "score": score} for item, score in best]
    sys.stdout.write(json.dumps({"recommendations": shown}, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
