"""A process with the real client that stays, so that torch is imported once for many tests."""

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOP = """
import io, json, logging, sys
out, sys.stdout = sys.stdout, io.StringIO()
logging.basicConfig(stream=sys.stderr)
from huggingface_hub import constants
import seqzoo
from seqzoo import zoo
from seqzoo.cli.app import run
from seqzoo.checkpoint.hub.address import HubAddress, parse_address
logging.getLogger("seqzoo").setLevel(logging.INFO)

class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []
    def emit(self, record):
        self.messages.append(record.getMessage())

heard = Heard()
logging.getLogger("seqzoo").addHandler(heard)
for line in sys.stdin:
    asked = json.loads(line)
    constants.HF_HUB_CACHE = asked["cache"]
    constants.HF_HUB_OFFLINE = asked["offline"]
    heard.messages.clear()
    sys.stdout, err, sys.stderr = io.StringIO(), sys.stderr, io.StringIO()
    answer = {}
    reply = {"error": None, "message": ""}
    try:
        exec(asked["code"], globals())
    except seqzoo.SeqzooError as error:
        reply = {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:
        import traceback
        reply = {"error": type(error).__name__, "message": traceback.format_exc()}
    reply |= {"out": sys.stdout.getvalue(), "err": sys.stderr.getvalue()}
    reply |= {"answer": answer, "log": list(heard.messages)}
    sys.stderr = err
    out.write(json.dumps(reply, default=str) + "\\n")
    out.flush()
"""


@dataclass
class Reply:
    """What a piece of code did: its ``answer``, its error's class and text, and what it said."""

    answer: dict[str, Any]
    error: str | None
    message: str
    out: str
    err: str
    log: list[str]

    def expect(self, error: str | None = None) -> "Reply":
        """This reply, if it ended so; otherwise the test fails."""
        assert self.error == error, f"{self.error}: {self.message}\n{self.err}"
        return self


class Worker:
    """Runs code in a process of its own, with a cache of its own for each call."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def __call__(self, code: str, cache: Path, *, offline: bool = False) -> Reply:
        """Run code that puts what it finds into the dictionary ``answer``."""
        asked = {"code": textwrap.dedent(code), "cache": str(cache), "offline": offline}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Reply(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
