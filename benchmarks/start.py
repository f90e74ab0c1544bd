"""The start of the command line, compared with importing torch and reading the same weights."""

import os
import subprocess
import sys

from timing import arguments, medians, report

from seqzoo.checkpoint.manifest import WEIGHTS
from seqzoo.zoo import info

MODEL, HISTORY = "mamba4rec-ml1m", ("1", "260", "1196")


def main() -> None:
    """Time all in turns."""
    given = arguments(__doc__)
    weights = f"{info(MODEL)['source']}/{WEIGHTS}"
    least = f"import torch, safetensors.torch; safetensors.torch.load_file({weights!r})"
    commands = {
        "import torch, read the weights": ["-c", least],
        "seqzoo recommend": ["-m", "seqzoo", "recommend", MODEL, "--history", *HISTORY],
        "seqzoo list": ["-m", "seqzoo", "list"],
        "seqzoo --help": ["-m", "seqzoo", "--help"],
    }

    # As in an installed package: the first round, which is not counted, writes the bytecode.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def call(words: list[str]) -> object:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, check=True, env=environment
        )

    calls = {name: lambda words=words: call(words) for name, words in commands.items()}
    seconds = medians(calls, given.turns)
    report("a start", seconds, "import torch, read the weights", given.json)


if __name__ == "__main__":
    main()
