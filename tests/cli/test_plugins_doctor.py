"""``seqzoo plugins`` and ``seqzoo doctor``, and verbs that plugins bring."""

import json

import pytest
import torch

from seqzoo.ops.backends import verdicts

GOOD = """
from seqzoo.plugins import hookimpl

@hookimpl
def seqzoo_register(zoo):
    zoo.command("greet", "good_verbs:greet", help="Say hello.")
    zoo.command("absent", "no_such_module:verb", help="Cannot be imported.")
    zoo.command("shapeless", "good_verbs:SHAPELESS", help="Is no function.")
"""
THIEF = """
from seqzoo.plugins import hookimpl

@hookimpl
def seqzoo_register(zoo):
    zoo.command("list", "good_verbs:greet", help="Has the name of a verb of seqzoo.")
"""
VERBS = '''
"""Imported only when a verb runs."""
import sys
from typing import Annotated
import typer
from seqzoo.errors import UsageError

SHAPELESS = 3
print("imported", file=sys.stderr)

def greet(name: str, loud: bool = False) -> None:
    """Say hello to somebody."""
    if name == "nobody":
        raise UsageError("nobody is there; name somebody")
    typer.echo(f"hello {name}{'!' if loud else ''}")
    if name == "no":
        raise typer.Exit(1)
'''


def install(site, name, module, version="1.2"):
    """What pip leaves behind of a plugin of one module."""
    (site / f"{name}.py").write_text(module)
    info = site / f"seqzoo_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: seqzoo-{name}\nVersion: {version}\n"
    )
    (info / "entry_points.txt").write_text(f"[seqzoo]\n{name} = {name}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, "good", GOOD)
    (folder / "good_verbs.py").write_text(VERBS)
    install(folder, "bad", 'raise RuntimeError("its own fault\\nin two lines")\n')
    return folder


@pytest.fixture
def with_plugins(process, site):
    return lambda *words, **more: process(*words, PYTHONPATH=str(site), **more)


def test_plugins_and_what_is_wrong_with_them(with_plugins):
    answer = with_plugins("plugins", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = {plugin["name"]: plugin for plugin in json.loads(answer.out)}
    keys = {"name", "distribution", "version", "status", "reason", "provides", "seconds"}
    assert all(keys <= plugin.keys() for plugin in found.values())
    assert found["mamba4rec"]["status"] == "ok"
    assert "architecture mamba4rec" in found["mamba4rec"]["provides"]
    assert (found["good"]["distribution"], found["good"]["version"]) == ("seqzoo-good", "1.2")
    assert found["bad"]["status"] == "broken"
    assert "its own fault in two lines" in found["bad"]["reason"]

    out = with_plugins("plugins").out
    assert "bad is broken: RuntimeError: its own fault in two lines" in out
    assert "seqzoo plugins --traceback bad" in out
    trace = with_plugins("plugins", "--traceback", "bad").out
    assert trace.startswith("Traceback (most recent call last)")
    assert 'raise RuntimeError("its own fault' in trace


def test_a_switched_off_plugin_says_so(with_plugins):
    answer = with_plugins("plugins", "--json", SEQZOO_DISABLE_PLUGINS="bad,good")
    found = {plugin["name"]: plugin["status"] for plugin in json.loads(answer.out)}
    assert found["bad"] == found["good"] == "disabled"
    assert "SEQZOO_DISABLE_PLUGINS" in with_plugins("plugins", SEQZOO_DISABLE_PLUGINS="bad").out
    words = ("recommend", "sasrec-ml1m", "--history", "1")
    said = with_plugins(*words, SEQZOO_DISABLE_PLUGINS="sasrec").err
    assert "These plugins are switched off: sasrec." in said


def test_strict_plugins_are_an_error_where_plugins_matter(with_plugins):
    answer = with_plugins("list", SEQZOO_STRICT_PLUGINS="1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert "bad (seqzoo-bad 1.2)" in answer.err
    assert with_plugins("--help", SEQZOO_STRICT_PLUGINS="1").code == 0


def test_verbs_of_plugins(with_plugins):
    answer = with_plugins("--help")
    assert answer.code == 0
    assert "imported" not in answer.err
    for words in ("greet", "Say hello.", "absent", "recommend"):
        assert words in answer.out
    answer = with_plugins("greet", "world", "--loud")
    assert (answer.code, answer.out) == (0, "hello world!\n")
    assert with_plugins("greet", "no").code == 1
    assert "Say hello to somebody" in with_plugins("greet", "--help").out
    answer = with_plugins("greet", "nobody")
    assert answer.code == 2
    assert answer.err == "imported\nerror: nobody is there; name somebody\n"
    answer = with_plugins("greet", "a", "--lound")
    assert "did you mean '--loud'? `seqzoo greet --help`" in answer.err


def test_no_plugin_takes_over_a_verb(process, tmp_path):
    install(tmp_path, "thief", THIEF)
    answer = process("plugins", "--json", PYTHONPATH=str(tmp_path))
    (thief,) = (plugin for plugin in json.loads(answer.out) if plugin["name"] == "thief")
    assert thief["status"] == "broken"
    assert "'list', which plugin 'seqzoo' already provides" in thief["reason"]
    assert process("list", "sasrec", "--json", PYTHONPATH=str(tmp_path)).code == 0


def test_broken_verbs_break_no_others(with_plugins):
    answer = with_plugins("absent")
    assert (answer.code, answer.out) == (2, "")
    assert "plugin 'good' names no_such_module:verb, which cannot be imported" in answer.err
    answer = with_plugins("shapeless")
    assert answer.code == 2
    assert "is not a valid typer command" in answer.err.splitlines()[-1]
    assert with_plugins("list", "sasrec", "--json").code == 0


def test_doctor(seqzoo):
    said = json.loads(seqzoo("doctor", "--json").out)
    assert {"python", "torch", "device", "backends", "plugins", "hub"} <= said.keys()
    assert all(
        {"op", "backend", "usable", "chosen", "reason"} == backend.keys()
        for backend in said["backends"]
    )
    chosen = {entry["op"]: entry["backend"] for entry in said["backends"] if entry["chosen"]}
    assert {"selective-scan", "linear-cross-entropy"} <= chosen.keys()
    assert {"mamba4rec", "sasrec"} <= {plugin["name"] for plugin in said["plugins"]}
    out = seqzoo("doctor").out
    for words in ("torch", "selective-scan", "mamba-ssm", "hub cache", "plugin"):
        assert words in out


def test_doctor_knows_the_hubs_variables_and_asks_nobody(process, tmp_path):
    answer = process("doctor", "--json", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path))  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    hub = json.loads(answer.out)["hub"]
    assert hub["endpoint"] == "http://127.0.0.1:9"
    assert hub["offline"] is True
    assert hub["cache"].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_doctor_works_where_torch_does_not(process, tmp_path):
    (tmp_path / "torch.py").write_text('raise OSError("libcudart.so.12: cannot open")\n')
    answer = process("doctor", PYTHONPATH=str(tmp_path))
    assert answer.code == 0, answer.err
    assert "cannot be imported: OSError: libcudart.so.12: cannot open" in answer.out
    answer = process("doctor", "--json", PYTHONPATH=str(tmp_path))
    said = json.loads(answer.out)
    assert (said["torch"], said["device"], said["backends"]) == (None, None, [])


def test_doctor_advises_an_installation_that_works():
    """pip builds the packages in isolation from torch, which their builds import."""
    if torch.cuda.is_available():
        pytest.skip("the kernels may work here")
    reasons = {v.backend: v.reason for v in verdicts(torch.device("cuda")) if not v.usable}
    for name in ("mamba-ssm", "causal-conv1d"):
        assert "pip install torch setuptools" in reasons[name]
        assert "&& MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation" in reasons[name]
    assert "pip install 'kernels>=0.17' && export SEQZOO_BACKEND=kernels" in reasons["kernels"]
    assert not any("pip install" in v.reason for v in verdicts(torch.device("cpu")))


def test_doctor_on_a_gpu(seqzoo, monkeypatch):
    """A fake of one, without the packages of its kernels."""
    if torch.cuda.is_available():
        pytest.skip("the kernels may work here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Imagined GPU")
    said = json.loads(seqzoo("doctor", "--json").out)
    assert (said["device"], said["device_name"]) == ("cuda", "Imagined GPU")
    chosen = {entry["op"]: entry["backend"] for entry in said["backends"] if entry["chosen"]}
    assert set(chosen.values()) == {"torch"}
    compiled = [entry for entry in said["backends"] if entry["backend"] == "native"]
    assert compiled
    assert all("runs on cpu, this is cuda" in entry["reason"] for entry in compiled)
    assert "cuda Imagined GPU" in seqzoo("doctor").out
