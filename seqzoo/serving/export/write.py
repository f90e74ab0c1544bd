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

from seqzoo.checkpoint.schemas import FileEntry
from seqzoo.errors import SeqzooError, UsageError
from seqzoo.model.inference import inference
from seqzoo.model.streaming import Streaming
from seqzoo.serving.export.manifest import MANIFEST, Manifest, StateEntry
from seqzoo.serving.export.modules import StateTensor
from seqzoo.storage.atomic import write_files
from seqzoo.storage.integrity import sha256_of_bytes
from seqzoo.version import __version__

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

TOLERANCE = 1e-5
"""Largest difference from the model, relative to the largest value, that an export may have."""

_RUNNER = Path(__file__).with_name("runner.py")
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Attributes:
        out: the folder.
        files: names of the files that it holds.
        streaming: whether it can compute one event at a time.
        max_difference: largest difference from the model on example histories, relative to the
            largest value.
        bytes: size of all files.
    """

    out: str
    files: list[str]
    streaming: bool
    max_difference: float
    bytes: int


def export(model: "SequenceModel", out: str | os.PathLike[str]) -> Exported:
    """Write a folder that recommends without torch and seqzoo.

    ``history.onnx`` computes user vectors of whole histories, ``recommend.onnx`` the best items of
    user vectors, and ``event.onnx`` one event with the state before it, where the model streams.
    Batch and length are free. ``runner.py`` beside them takes item ids. The folder is written only
    if the files give what the model gives.

    Args:
        model: the model; it does not change.
        out: the folder, new, empty, or of an earlier export.

    Raises:
        UsageError: the extra ``export`` is not installed, the folder holds other files, the model
            reads more than items and timestamps, or a part of it cannot be exported.
        CheckpointError: the folder cannot be written.
    """
    require_extra()
    folder = Path(out).expanduser()
    _check_folder(folder)
    if model.reads:
        raise UsageError(
            f"'{model.architecture}' reads the users, the features of events or the time of the "
            "request, which cannot be exported yet; export a model that reads items and timestamps"
        )
    if model.device.type != "cpu" or any(module.training for module in model.modules()):
        model = copy.deepcopy(model).cpu().eval()
    files, state = _graphs(model)
    vocabulary = json.dumps(model.vocabulary.to_json(), ensure_ascii=False).encode()
    files |= {"vocabulary.json": vocabulary, "runner.py": _RUNNER.read_bytes()}
    manifest = _manifest(model, files, state)
    manifest.max_difference = _measured(model, {**files, MANIFEST: _encoded(manifest)})
    if not manifest.max_difference <= TOLERANCE:
        raise UsageError(
            f"'{model.architecture}' cannot be exported: the exported files differ from the model "
            f"by {manifest.max_difference:.1e} of the largest value; at most {TOLERANCE:.0e} is "
            "allowed, and nothing was written"
        )
    files[MANIFEST] = _encoded(manifest)
    write_files(folder, files)
    return Exported(
        str(out),
        sorted(files),
        manifest.streaming,
        manifest.max_difference,
        sum(map(len, files.values())),
    )


def require_extra() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        UsageError: says which is missing and how to install it.
    """
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise UsageError(
                f"export needs {name}, which is not installed: pip install 'seqzoo[export]'"
            )


def _check_folder(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds other files; name a new or an empty folder with --out")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new or an empty folder with --out")


def _graphs(model: "SequenceModel") -> tuple[dict[str, bytes], list[StateTensor]]:
    """The ONNX files by name, and the state of ``event.onnx`` if it is among them."""
    from seqzoo.serving.export.trace import trace

    try:
        return trace(model)
    except SeqzooError:
        raise
    # The tracer, and the third-party parts that it calls, may raise anything.
    except Exception as error:
        raise UsageError(
            f"'{model.architecture}' cannot be exported: it cannot be traced for any number of "
            f"histories and events ({type(error).__name__}); serve it with seqzoo serve"
        ) from error


def _manifest(
    model: "SequenceModel", files: dict[str, bytes], state: list[StateTensor]
) -> Manifest:
    return Manifest(
        format=1,
        seqzoo=__version__,
        architecture=model.architecture,
        config=model.config,
        opset=_opset(),
        max_length=model.max_length,
        uses_time=model.backbone.uses_time,
        streaming="event.onnx" in files,
        state_events=Streaming.of(model).bound,
        state=[_entry(tensor) for tensor in state],
        max_difference=0.0,
        files={
            name: FileEntry(sha256=sha256_of_bytes(content), size=len(content))
            for name, content in files.items()
        },
    )


def _opset() -> int:
    from seqzoo.serving.export.graphs import OPSET

    return OPSET


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


def _measured(model: "SequenceModel", files: dict[str, bytes]) -> float:
    from seqzoo.serving.export.parity import max_difference

    with tempfile.TemporaryDirectory() as folder, inference(model):
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        return max_difference(model, folder)


def _encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
