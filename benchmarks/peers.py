"""Environments of the packages that tests and benchmarks compare seqzoo with.

``python benchmarks/peers.py`` builds all of them, ``python benchmarks/peers.py recbole`` one of
them. Each is a virtual environment in ``.peers``, or in the folder that ``SEQZOO_PEERS`` names. It
is built once, from the versions in ``peer_requirements``, and again when these change. A variable
such as ``SEQZOO_PEER_RECBOLE`` names a Python to use instead.

Published code that no package holds is cloned at a fixed commit. ``SEQZOO_PEER_MAMBA4REC`` and
``SEQZOO_PEER_TIM4REC`` name folders that hold it already.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).resolve().parent / "peer_requirements"


class PeerUnavailableError(Exception):
    """A peer is unavailable here: there is no network, or no package for this machine."""


@dataclass(frozen=True)
class Peer:
    """What an environment holds.

    Attributes:
        requirements: file in ``peer_requirements``, a complete list: pip adds no dependencies.
        sources: packages that are built from their source, without CUDA.
        base: another peer, whose packages can be imported too.
    """

    requirements: str | None = None
    sources: tuple[str, ...] = ()
    base: str | None = None


PEERS = {
    "pytrec-eval": Peer("pytrec-eval.txt"),
    "triton": Peer("triton.txt"),
    "mamba-ssm-2.2.4": Peer(
        sources=("mamba-ssm==2.2.4", "causal-conv1d==1.5.0.post8"), base="triton"
    ),
    "mamba-ssm-2.3.2": Peer(
        sources=("mamba-ssm==2.3.2.post1", "causal-conv1d==1.7.0"), base="triton"
    ),
    "recbole": Peer("recbole.txt"),
    "rectools": Peer("rectools.txt"),
}
CODE = {
    "mamba4rec": (
        "https://github.com/chengkai-liu/Mamba4Rec",
        "061e02bf3172aea380d0f29b76381f7afd51cfbc",
    ),
    "tim4rec": ("https://github.com/AlwaysFHao/TiM4Rec", "8d4a6ce"),
}
"""Repositories and commits of published code."""

_WITHOUT_CUDA = {
    "MAMBA_SKIP_CUDA_BUILD": "TRUE",
    "MAMBA_FORCE_BUILD": "TRUE",
    "CAUSAL_CONV1D_SKIP_CUDA_BUILD": "TRUE",
    "CAUSAL_CONV1D_FORCE_BUILD": "TRUE",
}
_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def python_of(name: str) -> Path:
    """The Python of a peer's environment, which is built if it is not there.

    Raises:
        PeerUnavailableError: a package cannot be installed; the message holds pip's reason.
    """
    given = os.environ.get(variable_of(name))
    if given:
        return Path(given)
    peer = PEERS[name]
    base = python_of(peer.base) if peer.base else None
    home = _folder() / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    recipe, finished = _recipe(name), home / "recipe.txt"
    with FileLock(_folder() / f"{name}.lock"):
        if finished.is_file() and finished.read_text("utf-8") == recipe:
            return python
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True, symlinks=os.name != "nt")
        if base:
            (Path(_output([python, "-c", _SITE])) / "base.pth").write_text(
                _output([base, "-c", _SITE]) + "\n", "utf-8"
            )
        pip = [python, "-m", "pip", "-q", "--disable-pip-version-check", "--retries", "1"]
        install = [*pip, "install", "--no-deps", "-c", ROOT / "constraints.txt"]
        if peer.requirements:
            _output([*install, "-r", REQUIREMENTS / peer.requirements])
        if peer.sources:
            _output([*install, "--no-build-isolation", *peer.sources], **_WITHOUT_CUDA)
        finished.write_text(recipe, "utf-8")
    return python


def code_of(name: str) -> Path:
    """The folder of published code, which is cloned if it is not there.

    Raises:
        PeerUnavailableError: the repository cannot be reached; the message names the variable that
            can point to a copy.
    """
    variable = variable_of(name)
    given = os.environ.get(variable)
    if given:
        return Path(given)
    address, commit = CODE[name]
    target = _folder() / f"{name}-{commit[:7]}"
    with FileLock(_folder() / f"{name}.lock"):
        if not target.is_dir():
            part = target.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            try:
                _output(["git", "clone", "-q", address, part], GIT_TERMINAL_PROMPT="0")
                _output(["git", "-C", part, "checkout", "-q", commit])
            except PeerUnavailableError as error:
                raise PeerUnavailableError(
                    f"{error}; set {variable} to a folder with {address} at {commit[:7]}"
                ) from None
            part.rename(target)
    return target


def variable_of(name: str) -> str:
    """The environment variable that names a Python, or a folder of published code."""
    return "SEQZOO_PEER_" + name.upper().replace("-", "_").replace(".", "_")


def _folder() -> Path:
    folder = Path(os.environ.get("SEQZOO_PEERS") or ROOT / ".peers").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _recipe(name: str) -> str:
    """All that an environment depends on."""
    peer = PEERS[name]
    parts = [sys.version, (ROOT / "constraints.txt").read_text("utf-8"), *peer.sources]
    if peer.requirements:
        parts.append((REQUIREMENTS / peer.requirements).read_text("utf-8"))
    if peer.base:
        parts.append(_recipe(peer.base))
    return "\n".join(parts)


def _output(command: list[object], **variables: str) -> str:
    """What a command prints; its last error line becomes the reason if it fails."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env={**kept, **variables})
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line or "fatal" in line]
        reason = (lines or done.stderr.splitlines() or ["no message"])[-1].strip()
        raise PeerUnavailableError(f"'{' '.join(words[:4])} …' failed: {reason}")
    return done.stdout.strip()


def main() -> int:
    """Build the environments named on the command line, all by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*PEERS, *CODE]))
    names = parser.parse_args().names or [*PEERS, *CODE]
    unknown = [name for name in names if name not in [*PEERS, *CODE]]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join([*PEERS, *CODE])}")
    missing = 0
    for name in names:
        try:
            print(f"{name}: {python_of(name) if name in PEERS else code_of(name)}", flush=True)
        except PeerUnavailableError as error:
            missing = 1
            print(f"{name}: {error}", flush=True)
    return missing


if __name__ == "__main__":
    sys.exit(main())
