"""Stored results of benchmarks: the circumstances that they depend on, and writing them."""

import json
import os
import platform
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

from seqzoo.ops.backends import verdicts
from seqzoo.version import __version__


def circumstances() -> dict[str, Any]:
    """The day, the load of the machine over five minutes, and the machine."""
    return {
        "date": date.today().isoformat(),
        "load": round(os.getloadavg()[1], 1),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """The processor and the versions that the results depend on."""
    processor = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.is_file():
        names = [line for line in described.read_text().splitlines() if "model name" in line]
        processor = names[0].partition(":")[2].strip() if names else processor
    chosen = {each.op: each.backend for each in verdicts(torch.device("cpu")) if each.chosen}
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "seqzoo": __version__,
        "backends": chosen,
    }


def store(file: Path, result: Any) -> None:
    """Write a result as JSON, atomically."""
    file.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".json", delete=False) as new:
        json.dump(result, new, indent=1)
        new.write("\n")
    Path(new.name).chmod(0o644)
    Path(new.name).replace(file)
