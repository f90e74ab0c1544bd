"""Hostile or careless plugins: each is skipped or harmless, and all others work."""

import builtins
import json
import locale
import logging
import os
import signal
import sys
import threading
import warnings

import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.plugins import load_plugins

GOOD = "zoo.metric('kept', 'json:loads')"
BACKBONE = "zoo.backbone('b', 'm:B', config='m:C', causal=True{})"
ARCHITECTURE = "zoo.architecture('a', embedder='item', backbone='b', head='tied-softmax'{})"

BROKEN = {
    "an exception without a text": "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
    "an exception whose str is a number": "class E(Exception):\n    __str__ = lambda s: 5\nraise E",
    "a long text": "raise ValueError('x' * 1_000_000)",
    "lines and escapes": "raise ValueError('a\\n\\x1b[31mb\\u202ec\\0')",
    "a surrogate": "raise ValueError('\\ud800')",
    "a group": "raise BaseExceptionGroup('g', [KeyboardInterrupt()])"
    if sys.version_info >= (3, 11)
    else "raise SystemExit",
    "sys.exit": "import sys; sys.exit(3)",
    "sys.exit with an object": "import sys; sys.exit(object())",
    "a generator's end": "raise GeneratorExit",
    "recursion": "def f(): f()\nf()",
    "no memory": "x = bytearray(1 << 62)",
    "a syntax error": "def (",
    "a NUL in the source": "x = 1\0",
    "not UTF-8": b"# \xff\nx = '\xff'",
    "a chain of causes": "e = None\nfor i in range(2000):\n    n = ValueError(i)\n"
    "    n.__cause__ = e\n    e = n\nraise e",
    "it deletes its own module": "import sys; del sys.modules[__name__]; raise KeyError",
    "a timeout": "raise TimeoutError",
}
HOOKS = {
    "a generator": "yield",
    "an odd name": "zoo.metric('\\x1b[31m', 'json:loads')",
    "a name of a megabyte": "zoo.metric('a' * 1_000_000, 'json:loads')",
    "no name": "zoo.metric('', 'json:loads')",
    "a name that is a path": "zoo.metric('../x', 'json:loads')",
    "a name that is an option": "zoo.command('--help', 'json:loads', help='x')",
    "a name that is not text": "zoo.metric(3, 'json:loads')",
    "a text with a mind of its own": "class T(str):\n    __eq__ = lambda s, o: True\n"
    "    __hash__ = str.__hash__\nzoo.metric(T('hit'), 'json:loads')",
    "a target that is not text": "zoo.metric('x', print)",
    "a name of the core": "zoo.metric('hit', 'json:loads')",
    "a name of a plugin": "zoo.architecture('sasrec', embedder='item', backbone='x', head='y')",
    "a verb of the core": "zoo.command('list', 'json:loads', help='x')",
    "an unregistered part": "zoo.architecture('a', embedder='x', backbone='y', head='z')",
    "itself as a part": "zoo.architecture('a', embedder='a', backbone='a', head='a')",
    "odd capabilities": BACKBONE.format(", streaming='no'"),
    "odd defaults": BACKBONE.format("") + "\n" + ARCHITECTURE.format(", defaults=[1]"),
    "odd keys": BACKBONE.format("") + "\n" + ARCHITECTURE.format(", defaults={3: 4}"),
    "a pin of another form": "zoo.pretrained('x', repo='a/b\\nc', revision='0' * 40)",
    "another registrar": "type(zoo).metric(None, 'x', 'y')",
    "an attribute that is not there": "zoo.nothing('x')",
}


def broken(name: str = "linrec") -> str:
    """The reason why a plugin was skipped: one line; everything else works."""
    loaded = load_plugins()
    record = loaded.record(name)
    assert record.status == "broken", record
    assert record.reason
    assert "\n" not in record.reason
    assert {"sasrec", "mamba4rec", "gru4rec"} <= set(loaded.catalogue.architectures.names())
    assert "kept" not in loaded.catalogue.metrics
    return record.reason


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_an_import_that_fails(install, site, source):
    module = install("" if isinstance(source, bytes) else source)
    if isinstance(source, bytes):
        (site / f"{module}.py").write_bytes(source)
    elif "\0" in source:
        (site / f"{module}.py").write_bytes(source.encode())
    assert len(broken()) <= 500


@pytest.mark.parametrize("body", HOOKS.values(), ids=HOOKS)
def test_a_registration_that_is_wrong(install, hook, body):
    install(hook(f"{GOOD}\n{body}"))
    assert broken()


@pytest.mark.parametrize(
    "error", ["ValueError('x' * 1_000_000)", "ValueError('a\\n\\x1b[31mb\\ud800')"]
)
def test_the_table_of_plugins_stays_readable(install, monkeypatch, capsys, error):
    install(f"raise {error}")
    loaded = load_plugins()
    monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
    assert run(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert len(out) < 20_000
    assert run(["plugins", "--json"]) == 0
    assert any(one["name"] == "linrec" for one in json.loads(capsys.readouterr().out))


def test_texts_of_a_plugin_do_not_steer_the_terminal(install, hook, monkeypatch, capsys):
    odd = "a\\n\\x1b[31mred\\u202e"
    body = f"{BACKBONE.format('')}\n{ARCHITECTURE.format(f', description={odd!r}, paper={odd!r}')}"
    install(hook(body.replace("\\\\", "\\")))
    loaded = load_plugins()
    if loaded.record("linrec").status == "broken":
        return  # refused at registration, which is right too
    monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
    for words in (["list"], ["info", "a"], ["plugins"]):
        assert run(words) in (0, 2)
        said = capsys.readouterr()
        assert "\x1b[31m" not in said.out + said.err
        assert "\u202e" not in said.out + said.err


def test_ten_thousand_names(install, hook):
    install(hook("for i in range(10_000):\n    zoo.metric(f'm{i}', 'json:loads')"))
    loaded = load_plugins()
    assert loaded.record("linrec").status == "ok"
    assert len(loaded.record("linrec").provides) == 10_000
    assert seqzoo.list_models("sasrec")


def test_names_that_look_alike_are_different_names(install, hook):
    install(hook("zoo.metric('h\u0131t', 'json:loads')\nzoo.metric('HIT', 'json:loads')"))
    loaded = load_plugins()
    record = loaded.record("linrec")
    assert record.status in ("ok", "broken")
    assert loaded.catalogue.metrics.get("hit").plugin == "seqzoo"


def test_a_registrar_that_is_kept_registers_nothing_later(install, hook, site):
    module = install("KEPT = []\n" + hook("KEPT.append(zoo)\nzoo.metric('first', 'json:loads')"))
    loaded = load_plugins()
    kept = sys.modules[module].KEPT[0]
    try:
        kept.metric("second", "json:loads")
        kept.metric("hit", "json:loads")
    except Exception:
        assert "second" not in loaded.catalogue.metrics
    assert loaded.record("linrec").provides == ["metric first"]
    assert "second" not in loaded.catalogue.metrics
    assert loaded.catalogue.metrics.get("hit").plugin == "seqzoo"


@pytest.mark.parametrize("api", [
    "10**6000", "float('nan')",
    "type('V', (), {'__eq__': lambda s, o: 1 / 0, '__ne__': lambda s, o: 1 / 0})()", "'1'", "[1]",
    "type('R', (), {'__repr__': lambda s: 1 / 0})()",
])  # fmt: skip
def test_odd_versions_of_the_interface(install, hook, api):
    install(f"seqzoo_api_version = {api}\n" + hook(GOOD))
    broken()


def test_a_plugin_that_changes_the_process_breaks_no_verb(install, hook, monkeypatch, capsys):
    """A plugin may do anything to the process; no verb of ours ends in a traceback for it."""
    before = (
        sys.getrecursionlimit(),
        os.getcwd(),
        signal.getsignal(signal.SIGTERM),
        list(warnings.filters),
        logging.getLogger().level,
    )
    source = (
        "import logging, signal, sys, warnings\n"
        "sys.setrecursionlimit(400)\n"
        "warnings.simplefilter('error')\n"
        "logging.basicConfig(level=0)\n"
        "logging.raiseExceptions = False\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sys.excepthook = lambda *a: print('hooked')\n"
    )
    install(source + hook(GOOD))
    hook_before = sys.excepthook
    try:
        loaded = load_plugins()
        monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
        for words in (["list", "--json"], ["plugins", "--json"], ["info", "sasrec", "--json"]):
            assert run(words) == 0
            json.loads(capsys.readouterr().out)
    finally:
        sys.setrecursionlimit(before[0])
        os.chdir(before[1])
        signal.signal(signal.SIGTERM, before[2])
        warnings.filters[:] = before[3]
        logging.getLogger().setLevel(before[4])
        logging.raiseExceptions = True
        sys.excepthook = hook_before
    assert builtins.open
    assert locale.getlocale()
    assert threading.active_count()


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"\xff\xfe\x00",
        b"Name: \xff\xff\nVersion: 1\n",
        b"Name: a\nName: b\nVersion: 1\nVersion: 2\n",
        b"Version: 1.0\n",
        b"Name: x\n" + b"Classifier: " + b"y" * 5_000_000 + b"\n",
        b"Name: \x1b[31mred\nVersion: " + b"9" * 100_000 + b"\n",
    ],
    ids=["empty", "UTF-16", "not UTF-8", "twice", "no name", "5 MB", "escapes"],
)
def test_metadata_of_a_distribution(install, hook, site, monkeypatch, capsys, metadata):
    install(hook("zoo.metric('good', 'json:loads')"), "linrec", "seqzoo-linrec")
    (site / "seqzoo_linrec-1.2.3.dist-info" / "METADATA").write_bytes(metadata)
    loaded = load_plugins()
    assert {"sasrec", "gru4rec"} <= set(loaded.catalogue.architectures.names())
    monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
    assert run(["plugins"]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [b"", b"[seqzoo]\n", b"\xff", b"[seqzoo]\nx\n", b"[seqzoo]\n= y\n", b"[seqzoo\nlinrec = json\n",
     b"[seqzoo]\nlinrec = json:loads [extra]\n", b"[seqzoo]\nlinrec = \n",
     b"[seqzoo]\n" + b"a = json\n" * 5000,
     b"[seqzoo]\n\x1b[31m = json\n", b"linrec = json\n[seqzoo]\n"],
)  # fmt: skip
def test_entry_points_of_a_distribution(install, site, monkeypatch, capsys, content):
    install("")
    (site / "seqzoo_linrec-1.2.3.dist-info" / "entry_points.txt").write_bytes(content)
    loaded = load_plugins()
    assert {"sasrec", "gru4rec"} <= set(loaded.catalogue.architectures.names())
    monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
    assert run(["plugins"]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out
