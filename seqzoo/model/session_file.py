"""The folder of a saved session: ``session.json``, and its tensors in ``session.safetensors``.

``session.json`` has the events, the sha256 of both files, and the state as JSON that names tensors.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec import UNSET
from torch import Tensor

from seqzoo.checkpoint.schemas import PackedStates, SessionFile, SessionState
from seqzoo.errors import CheckpointError, SeqzooError
from seqzoo.interfaces import State
from seqzoo.storage.atomic import COMMIT, locate, settled, write_files
from seqzoo.storage.documents import check, parse_json, plain
from seqzoo.storage.integrity import read_bytes, sha256_of_bytes, sha256_of_document
from seqzoo.storage.messages import malformed, shown
from seqzoo.storage.tensors import parse_tensors, tensors_bytes

__all__ = [
    "EVENTS",
    "LARGEST",
    "RESTORE",
    "TENSORS",
    "flatten",
    "missing_file",
    "pack_states",
    "read_session",
    "unflatten",
    "unpack_states",
    "write_session",
]

EVENTS = "session.json"
TENSORS = "session.safetensors"
RESTORE = "restore the file"

_MIB = 1 << 20
LARGEST = {EVENTS: 64 * _MIB, TENSORS: 1024 * _MIB}
"""Bytes of a file at most, so that no file fills the memory."""


def missing_file(folder: Path) -> str | None:
    """The first file of a session that a folder lacks, or None if it holds a session."""
    for name in (EVENTS, TENSORS):
        if not any(os.path.lexists(place / name) for place in (folder, folder / COMMIT)):
            return name
    return None


def write_session(
    folder: str | os.PathLike[str],
    *,
    model: Mapping[str, str],
    items: Sequence[str],
    timestamps: Sequence[int],
    states: Mapping[str, State],
    user: str | None = None,
    features: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Write a session atomically.

    Args:
        folder: a folder for this session only.
        model: what identifies the model.
        items: ids of all events.
        timestamps: unix seconds of all events, or none.
        states: the states of ``embedder`` and ``backbone``, and ``hidden``, the user's vector
            [1, D] or None.
        user: the user's id, if it is known.
        features: values of all events by the name of a feature.

    Raises:
        CheckpointError: the folder cannot be written, or the state could not be restored.
    """
    tensors: dict[str, Tensor] = {}
    state = flatten(dict(states), tensors)
    content = tensors_bytes(tensors)
    document = plain(
        "the session",
        {
            "model": dict(model),
            "items": list(items),
            "timestamps": list(timestamps),
            "state": state,
            "tensors": sha256_of_bytes(content),
            **({} if user is None else {"user": user}),
            **({"features": {name: list(v) for name, v in features.items()}} if features else {}),
        },
    )
    document["sha256"] = sha256_of_document(document)
    # Checked with the schema of reading: a session that is written must be restorable.
    check(Path(folder) / EVENTS, document, SessionFile, "change the state of the model's parts")
    files = {EVENTS: json.dumps(document).encode(), TENSORS: content}
    for name, written in files.items():
        if len(written) > LARGEST[name]:
            raise CheckpointError(
                f"{Path(folder) / name} would have {len(written)} bytes, expected at most "
                f"{LARGEST[name]}: it could not be restored; use a model with a smaller state"
            )
    write_files(folder, files)


def read_session(folder: str | os.PathLike[str]) -> tuple[SessionFile, dict[str, Tensor]]:
    """The checked content of both files.

    Raises:
        CheckpointError: a file is too long, damaged, or does not match its schema.
    """
    return settled(folder, lambda: _read(folder))


def _read(folder: str | os.PathLike[str]) -> tuple[SessionFile, dict[str, Tensor]]:
    path = locate(folder, EVENTS)
    document = parse_json(path, _bounded(path), remedy=RESTORE)
    session = check(path, document, SessionFile, RESTORE)
    del document["sha256"]
    if sha256_of_document(document) != session.sha256:
        raise CheckpointError(f"{path} does not have the sha256 that it records; {RESTORE}")
    path = locate(folder, TENSORS)
    content = _bounded(path)
    if sha256_of_bytes(content) != session.tensors:
        raise CheckpointError(f"{path} does not have the sha256 that {EVENTS} records; {RESTORE}")
    return session, parse_tensors(path, content)


def _bounded(path: Path) -> bytes:
    size, most = path.stat().st_size, LARGEST[path.name]
    if size > most:
        raise CheckpointError(f"{path} has {size} bytes, expected at most {most}; {RESTORE}")
    return read_bytes(path, most)


def flatten(value: Any, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Plain JSON in which each tensor is replaced by its name; adds the tensors to ``tensors``.

    Raises:
        SeqzooError: the state holds a value that cannot be saved.
    """
    if isinstance(value, Tensor):
        name = f"state.{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise SeqzooError(
                    f"a session's state holds a dict with the key {shown(key)}, which cannot be "
                    "saved; use strings as keys"
                )
        return {"dict": {key: flatten(item, tensors) for key, item in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [flatten(item, tensors) for item in value]}
    if isinstance(value, list):
        return {"list": [flatten(item, tensors) for item in value]}
    if value is None or isinstance(value, int | float | str):
        return {"value": value}
    raise SeqzooError(
        f"a session's state holds {type(value).__name__}, which cannot be saved; "
        "use tensors, numbers, lists, tuples and dicts"
    )


def pack_states(states: Mapping[str, State]) -> bytes:
    """States as bytes: a line of JSON, then the tensors.

    Raises:
        SeqzooError: a state holds a value that cannot be saved.
    """
    tensors: dict[str, Tensor] = {}
    state = flatten(dict(states), tensors)
    content = tensors_bytes(tensors)
    document = plain("the state", {"state": state, "tensors": sha256_of_bytes(content)})
    return json.dumps(document).encode() + b"\n" + content


def unpack_states(content: bytes, device: torch.device) -> dict[str, State]:
    """The states that ``pack_states`` made into bytes.

    Raises:
        CheckpointError: the bytes are damaged.
    """
    line, _, rest = content.partition(b"\n")
    where = Path("a stored state")
    packed = check(where, parse_json(where, line, remedy=RESTORE), PackedStates, RESTORE)
    if sha256_of_bytes(rest) != packed.tensors:
        raise CheckpointError(f"{where} does not have the sha256 that it records; {RESTORE}")
    return unflatten(packed, parse_tensors(where, rest), device)


def unflatten(
    session: SessionFile | PackedStates, tensors: Mapping[str, Tensor], device: torch.device
) -> dict[str, State]:
    """The states of ``embedder`` and ``backbone``, and ``hidden``, with tensors on a device.

    Raises:
        CheckpointError: the tensors are not those that the state names, or are not those of one
            user.
    """
    left = dict(tensors)

    def restore(state: SessionState) -> State:
        if state.tensor is not UNSET:
            if state.tensor in tensors and state.tensor not in left:
                raise CheckpointError(
                    f"{EVENTS} names the tensor {shown(state.tensor)} more than once; {RESTORE}"
                )
            if state.tensor not in left:
                raise CheckpointError(
                    f"{TENSORS} lacks the tensor {shown(state.tensor)}, which {EVENTS} names; "
                    f"{RESTORE}"
                )
            tensor = left.pop(state.tensor)
            if tensor.shape[:1] != (1,):
                expected = "1 as its first size, for one user"
                what = f"the shape of tensor {shown(state.tensor)}"
                raise malformed(TENSORS, what, list(tensor.shape), expected, RESTORE)
            return tensor.to(device)
        if state.mapping is not UNSET:
            return {key: restore(inner) for key, inner in state.mapping.items()}
        if state.sequence is not UNSET:
            return tuple(restore(inner) for inner in state.sequence)
        if state.elements is not UNSET:
            return [restore(inner) for inner in state.elements]
        return state.value

    parts = session.state.mapping
    states = {
        "embedder": restore(parts.embedder),
        "backbone": restore(parts.backbone),
        "hidden": restore(parts.hidden),
    }
    if left:
        raise CheckpointError(
            f"{TENSORS} has the tensor {shown(min(left))}, which {EVENTS} does not name; {RESTORE}"
        )
    return states
