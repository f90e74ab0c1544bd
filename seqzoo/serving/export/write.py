"""``export``: a folder of ONNX files, vocabulary, manifest and runner, measured first."""

import copy
import importlib.util
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seqzoo.errors import SeqzooError, UsageError, error_text
from seqzoo.model.inference import inference
from seqzoo.model.streaming import Streaming
from seqzoo.serving.export.manifest import MANIFEST, Manifest, StateEntry
from seqzoo.serving.export.modules import StateTensor, window
from seqzoo.storage.atomic import write_files
from seqzoo.storage.fields import FileEntry
from seqzoo.storage.integrity import sha256_of_bytes
from seqzoo.version import __version__

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel
    from seqzoo.serving.export.parity import Parity

__all__ = [
    "INT8_TOLERANCE",
    "TOLERANCE",
    "Exported",
    "check_export",
    "export",
    "missing_package",
    "require_extra",
]

TOLERANCE = 1e-5
"""Largest difference from the model, relative to the largest value, that an export may have."""

INT8_TOLERANCE = 0.1
"""The same for quantised weights."""

_RUNNER = Path(__file__).with_name("runner.py")
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_COMPUTATIONS = frozenset(
    f"{name}.{kind}"
    for name in ("history", "recommend", "event", "answer")
    for kind in ("onnx", "pt2")
)


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Attributes:
        out: the folder.
        files: names of the files that it holds.
        streaming: whether it can compute one event at a time.
        opset: version of the ONNX operators.
        int8: whether the weights of the ONNX files are quantised to 8 bits.
        max_difference: largest difference from the model on example histories, relative to the
            largest value.
        agreement: share of the model's 10 best items that are among the files' 10 best, on the same
            histories.
        bytes: size of all files.
    """

    out: str
    files: list[str]
    streaming: bool
    opset: int
    int8: bool
    max_difference: float
    agreement: float
    bytes: int


def export(
    model: "SequenceModel",
    out: str | os.PathLike[str],
    *,
    int8: bool = False,
    programs: bool = False,
) -> Exported:
    """Write a folder that recommends without torch and seqzoo.

    ``history.onnx`` computes user vectors of whole histories, ``recommend.onnx`` the best items of
    user vectors, and ``event.onnx`` one event with the state before it, where the model streams.
    ``answer.onnx`` computes a request some time after the newest event, for models that read the
    time of the request. Batch size and length are dynamic. ``runner.py`` in the same folder takes
    item ids. The folder is written only if the files return what the model returns.

    Args:
        model: the model; it does not change.
        out: the folder, new, empty, or of an earlier export.
        int8: quantise the weights of the ONNX files to 8 bits: smaller files, other scores.
        programs: also write ``torch.export`` programs, ``history.pt2`` and so on, which
            ``torch.export.load`` reads. ``recommend.pt2`` gives the scores of all items.

    Raises:
        UsageError: the extra ``export`` is not installed, the folder holds other files, the model
            reads users or features of events, or a part of it cannot be exported.
        CheckpointError: the folder cannot be written.
    """
    require_extra()
    folder = Path(out).expanduser()
    _check_folder(folder)
    if model.reads.of_events:
        raise UsageError(
            f"'{model.architecture}' reads the users or the features of events, which cannot be "
            "exported yet; serve it with seqzoo serve"
        )
    # ``torch.export`` programs compute without gradients, whoever runs them.
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    files, state = _graphs(model, programs)
    vocabulary = json.dumps(model.vocabulary.to_json(), ensure_ascii=False).encode()
    files |= {"vocabulary.json": vocabulary, "runner.py": _RUNNER.read_bytes()}
    measured = _measured(model, files, state, TOLERANCE)
    if programs:
        measured = max(
            measured,
            _measured(model, files, state, TOLERANCE, programs=True),
            key=lambda each: each.max_difference,
        )
    if int8:
        from seqzoo.serving.export.int8 import rounded

        rounding = {name: rounded(files[name]) for name in files if name.endswith(".onnx")}
        files |= rounding
        measured = _measured(model, files, state, INT8_TOLERANCE, int8=True)
    manifest = _manifest(model, files, state, measured, int8=int8)
    files[MANIFEST] = _encoded(manifest)
    write_files(folder, files)
    # Files of an earlier export that this one lacks hold the weights of another model.
    for name in _COMPUTATIONS - files.keys():
        (folder / name).unlink(missing_ok=True)
    return Exported(
        str(out),
        sorted(files),
        manifest.streaming,
        manifest.opset,
        int8,
        manifest.max_difference,
        manifest.agreement,
        sum(map(len, files.values())),
    )


def check_export(model: "SequenceModel") -> None:
    """Check that a model can be exported, without keeping what is written.

    Raises:
        UsageError: it cannot be; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        export(model, folder)


def missing_package() -> str | None:
    """The first package of the extra that is not installed; None if all are."""
    return next((name for name in _NEEDED if importlib.util.find_spec(name) is None), None)


def require_extra() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        UsageError: says which is missing and how to install it.
    """
    if (name := missing_package()) is not None:
        raise UsageError(
            f"export needs {name}, which is not installed: pip install 'seqzoo[export]'"
        )


def _check_folder(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds other files; name a new or an empty folder with --out")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new or an empty folder with --out")


def _graphs(model: "SequenceModel", programs: bool) -> tuple[dict[str, bytes], list[StateTensor]]:
    """The graphs by name of their file, and the state of ``event.onnx`` if it is among them."""
    from seqzoo.serving.export.trace import trace

    try:
        traced, state = trace(model)
        files = {f"{each.name}.onnx": each.onnx() for each in traced}
        if programs:
            files |= {f"{each.name}.pt2": each.torch() for each in traced}
        return files, state
    except SeqzooError:
        raise
    # The tracer, and the third-party parts that it calls, may raise anything.
    except Exception as error:
        raise UsageError(
            f"'{model.architecture}' cannot be exported: it cannot be traced for any number of "
            f"histories and events ({error_text(error)[:300]}); serve it with seqzoo serve"
        ) from error


def _manifest(
    model: "SequenceModel",
    files: dict[str, bytes],
    state: list[StateTensor],
    measured: "Parity | None" = None,
    *,
    int8: bool = False,
) -> Manifest:
    from seqzoo.serving.export.graphs import OPSET

    return Manifest(
        format=1,
        seqzoo=__version__,
        architecture=model.architecture,
        config=model.config,
        opset=OPSET,
        max_length=window(model),
        uses_time=model.backbone.uses_time,
        uses_query_time=model.reads.query_times,
        streaming="event.onnx" in files,
        state_events=Streaming.of(model).bound,
        state=[_entry(tensor) for tensor in state],
        int8=int8,
        max_difference=0.0 if measured is None else measured.max_difference,
        agreement=0.0 if measured is None else measured.agreement,
        files={
            name: FileEntry(sha256=sha256_of_bytes(content), size=len(content))
            for name, content in files.items()
        },
    )


def _entry(tensor: StateTensor) -> StateEntry:
    values = tensor.initial
    same = not values.numel() or bool((values == values.flatten()[0]).all())
    first = values.flatten()[0].item() if values.numel() else 0.0
    return StateEntry(
        dtype=str(values.dtype).removeprefix("torch."),  # type: ignore[arg-type]
        shape=list(values.shape),
        initial=first if same else values.tolist(),
        growing=tensor.growing,
    )


def _measured(
    model: "SequenceModel",
    files: dict[str, bytes],
    state: list[StateTensor],
    allowed: float,
    *,
    int8: bool = False,
    programs: bool = False,
) -> "Parity":
    """How far the files are from the model.

    Raises:
        UsageError: further than allowed.
    """
    from seqzoo.serving.export.parity import parity

    manifest = _encoded(_manifest(model, files, state))
    with tempfile.TemporaryDirectory() as folder, inference(model):
        for name, content in {**files, MANIFEST: manifest}.items():
            Path(folder, name).write_bytes(content)
        found = parity(model, folder, programs=programs)
    if found.max_difference <= allowed:
        return found
    remedy = "; export it without --int8" if int8 else ""
    raise UsageError(
        f"'{model.architecture}' cannot be exported{' to int8' if int8 else ''}: the exported "
        f"files differ from the model by {found.max_difference:.1e} of the largest value; at most "
        f"{allowed:.0e} is allowed, and nothing was written{remedy}"
    )


def _encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
