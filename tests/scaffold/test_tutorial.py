"""docs/write-a-plugin.md, followed to the letter in a fresh environment."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"# (\S+/\S+\.py)\n")


@pytest.mark.slow
def test_the_tutorial(environment, tmp_path):
    home = environment()
    # What a fresh machine would fetch is here already.
    variables = {
        "PATH": os.pathsep.join([str(Path(home.python).parent), os.environ["PATH"]]),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
        "OMP_NUM_THREADS": "1",
    }
    ran, written = [], []
    for language, text in _BLOCK.findall(TUTORIAL.read_text("utf-8")):
        if language == "console":
            for line in text.splitlines():
                words = shlex.split(line.removeprefix("$ "))
                tool = {"pytest": ["-m", "pytest", "-q"], "pip": ["-m", "pip"]}
                command = [*tool.get(words[0], ["-m", words[0]]), *words[1:]]
                done = subprocess.run(
                    [home.python, *command],
                    cwd=tmp_path,
                    env={**os.environ, **variables},
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                ran.append(words[0])
        elif language == "python" and (named := _FILE.match(text)):
            path = tmp_path / "seqzoo-linrec" / named[1]
            assert path.is_file(), f"{named[1]} is none of the scaffold's files"
            path.write_text(text[named.end() :])
            written.append(named[1])
    assert len(ran) >= 9
    assert len(written) == 4
    recommended = tmp_path / "runs" / "linrec" / "model.safetensors"
    assert recommended.is_file()
