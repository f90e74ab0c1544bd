"""The real client in processes of its own, because it reads its settings when it is imported."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

PRELUDE = """
import json, sys
answer = {}

def failure(function, *arguments, **options):
    '''The error of a call: its class, the classes above it, and its text; None without one.'''
    try:
        function(*arguments, **options)
    except Exception as error:
        classes = [kind.__name__ for kind in type(error).__mro__]
        return {"type": classes[0], "kinds": classes, "message": str(error)}

"""
EPILOGUE = """
print("\\n" + json.dumps(answer, default=str))
"""


def client_environment(
    url: str, home: Path, *, token: str | None = "hf_test_write", xet: bool = False, **more: object
) -> dict[str, str]:
    """Environment variables for a process that talks to a server and keeps its cache in ``home``.

    ``more`` are variables to add, or with None to leave out.
    """
    variables: dict[str, object] = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
    }
    variables |= {
        "HF_ENDPOINT": url,
        "HF_HOME": home,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": None if xet else "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        "HF_HUB_ETAG_TIMEOUT": "5",
        "OMP_NUM_THREADS": "1",
    }
    variables |= more
    return {name: str(value) for name, value in variables.items() if value is not None}


def command(code: str) -> list[str]:
    """The command that runs code, which puts what it finds into the dictionary ``answer``."""
    return [sys.executable, "-c", PRELUDE + textwrap.dedent(code) + EPILOGUE]


def start_client(code: str, env: dict[str, str], **options: Any) -> "subprocess.Popen[str]":
    """Start a client without waiting for it."""
    return subprocess.Popen(
        command(code),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run_client(
    code: str, env: dict[str, str], *, timeout: float = 120.0, **options: Any
) -> dict[str, Any]:
    """Run a client to its end; its ``answer``. What it says on stderr is in ``["stderr"]``."""
    done = subprocess.run(
        command(code), env=env, capture_output=True, text=True, timeout=timeout, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"the client failed with {done.returncode}:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "stderr": done.stderr}
