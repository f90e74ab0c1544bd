"""``seqzoo export``: a folder that recommends without torch."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.options import Checkpoint, Json, Quiet
from seqzoo.cli.output import note, print_json


def export(
    name: Checkpoint,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder to write: new, empty or an earlier export.")
    ],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as ONNX files with a runner that needs no torch.

    The folder holds history.onnx (whole histories), recommend.onnx (the best items), event.onnx
    (one event with its state, where the model streams), the vocabulary, a manifest with hashes and
    runner.py, which needs onnxruntime and numpy only.
    """
    from seqzoo.serving.export.write import export as write
    from seqzoo.serving.export.write import require_extra

    require_extra()
    exported = write(zoo.load(name), out)
    if as_json:
        print_json({"model": name, **asdict(exported)})
    elif not quiet:
        how = "whole histories and single events" if exported.streaming else "whole histories"
        note(
            f"{exported.out}: {len(exported.files)} files, {exported.bytes / 1e6:.1f} MB, {how}; "
            f"largest difference from the model {exported.max_difference:.1e}"
        )
        note(f"try: python {exported.out}/runner.py --history ITEM ... -k 5")
