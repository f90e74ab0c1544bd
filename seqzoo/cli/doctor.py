"""``seqzoo doctor``: installed versions, working backends, and why the others do not work."""

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from huggingface_hub import constants

from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json
from seqzoo.cli.plugins import plugin_list, plugin_table
from seqzoo.cli.tables import Column, facts, show, table
from seqzoo.errors import error_text
from seqzoo.version import __version__

__all__ = ["diagnosis", "doctor"]

_PACKAGES = (
    "accelerate",
    "huggingface_hub",
    "msgspec",
    "numpy",
    "omegaconf",
    "pluggy",
    "polars",
    "rich",
    "safetensors",
    "typer",
)


def doctor(as_json: Json = False) -> None:
    """Show versions, devices and the compute backends that work."""
    found = diagnosis()
    if as_json:
        print_json(found)
        return
    hub = found["hub"]
    backends = [
        [
            backend["op"],
            backend["backend"],
            "yes" if backend["usable"] else "no",
            "yes" if backend["chosen"] else "no",
            backend["reason"],
        ]
        for backend in found["backends"]
    ]
    columns = [Column("op"), Column("backend"), Column("usable"), Column("chosen")]
    show(
        facts(
            [
                ("seqzoo", found["seqzoo"]),
                ("python", found["python"]),
                ("torch", found["torch"] or f"cannot be imported: {found['torch_error']}"),
                ("device", " ".join(filter(None, (found["device"], found["device_name"])))),
                ("packages", ", ".join(f"{k} {v}" for k, v in found["packages"].items())),
                ("hub", f"{hub['endpoint']}{' (offline)' if hub['offline'] else ''}"),
                ("hub cache", hub["cache"]),
            ]
        ),
        "",
        table([*columns, Column("reason", wrap=True)], backends),
        "",
        *plugin_table(found["plugins"]),
    )


def diagnosis() -> dict[str, Any]:
    """Everything that ``doctor`` shows, as plain values; it sends no request."""
    torch_version, device, device_name, error = _torch()
    return {
        "seqzoo": __version__,
        "python": platform.python_version(),
        "torch": torch_version,
        "torch_error": error,
        "device": device,
        "device_name": device_name,
        "packages": {name: _version(name) for name in _PACKAGES},
        "backends": _backends(device),
        "plugins": plugin_list(),
        "hub": {
            "endpoint": constants.ENDPOINT,
            "offline": bool(constants.HF_HUB_OFFLINE),
            "cache": constants.HF_HUB_CACHE,
            "huggingface_hub": _version("huggingface_hub"),
        },
    }


def _torch() -> tuple[str | None, str | None, str | None, str | None]:
    """Version, device and its name; or why torch, such as a build for another CUDA, fails."""
    try:
        import torch
    except Exception as error:
        return None, None, None, error_text(error)
    version = str(torch.__version__)
    if torch.cuda.is_available():
        return version, "cuda", torch.cuda.get_device_name(), None
    if torch.backends.mps.is_available():
        return version, "mps", None, None
    threads = torch.get_num_threads()
    return version, "cpu", f"({threads} thread{'s' if threads > 1 else ''})", None


def _backends(device: str | None) -> list[dict[str, Any]]:
    """Which backends work on the device and which are chosen; none if torch cannot be imported."""
    if device is None:
        return []
    import torch

    from seqzoo.ops.backends import verdicts

    return [asdict(verdict) for verdict in verdicts(torch.device(device), every_case=True)]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
