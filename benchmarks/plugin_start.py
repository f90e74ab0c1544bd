"""How much longer seqzoo takes to start with broken and slow plugins, without their own time.

``python benchmarks/plugin_start.py`` installs five broken plugins and one that sleeps 0.3 s into
a folder of its own and times ``seqzoo plugins`` with and without them, in turns.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import arguments, medians, report

BROKEN = {
    "crashes": "import no_such_module_anywhere\n",
    "exits": "import sys; sys.exit(3)\n",
    "raises": "raise RuntimeError('on purpose')\n",
    "hookless": "\n",
    "future": "seqzoo_api_version = 99\n",
    "sleeps": "import time; time.sleep(0.3)\n",
}


def install(site: Path) -> None:
    """What pip leaves behind of a plugin of one module."""
    for name, source in BROKEN.items():
        (site / f"{name}_plugin.py").write_text(source)
        info = site / f"{name}_plugin-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[seqzoo]\n{name} = {name}_plugin\n")


def start(site: str = "") -> str:
    """Start seqzoo, and have it load all plugins."""
    environment = {**os.environ, "PYTHONPATH": site}
    command = [sys.executable, "-m", "seqzoo", "plugins", "--json"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def main() -> None:
    """Time both in turns."""
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        own = sum(plugin["seconds"] for plugin in json.loads(start(folder)))
        calls = {"without them": start, "with them": lambda: start(folder)}
        seconds = medians(calls, given.turns)
    seconds["without them, plus their own time"] = seconds["without them"] + own
    report("start with six plugins more", seconds, "without them", given.json)


if __name__ == "__main__":
    main()
