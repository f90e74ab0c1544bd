"""Stdout holds only the answer, also if plugins print or leave threads running."""

import json
import subprocess
import sys

import pytest

HOOK = """
from seqzoo.plugins import hookimpl

@hookimpl
def seqzoo_register(zoo):
    zoo.command("shout", "noisy:shout", help="Print in every way.")
"""
NOISES = {
    "descriptor": "import os; os.write(1, b'NOISE')",
    "child": "import subprocess; subprocess.run(['echo', 'NOISE'])",
    "original": "import sys; sys.__stdout__.write('NOISE'); sys.__stdout__.flush()",
    "print": "print('NOISE')",
    "exit": "import atexit; atexit.register(lambda: print('NOISE'))",
    "exit-descriptor": "import atexit, os; atexit.register(os.write, 1, b'NOISE')",
    "logging": "import logging, sys; logging.basicConfig(stream=sys.stdout, level=0, force=True)\n"
    "logging.warning('NOISE')",
    "thread": """
import threading, time
def chatter():
    while True:
        print('NOISE')
        time.sleep(0.001)
threading.Thread(target=chatter, daemon=True).start()
""",
}
ENDLESS = """
import threading, time
def endless():
    while True:
        time.sleep(0.05)
threading.Thread(target=endless, name="the endless one").start()
"""
VERB = """
import os, subprocess, sys
def shout() -> None:
    print("one")
    sys.stdout.flush()
    os.write(1, b"two\\n")
    subprocess.run(["echo", "three"])
"""


@pytest.fixture
def noisy(process, tmp_path):
    """Run a command line with a plugin whose import runs some code."""

    def call(source, *words, **variables):
        (tmp_path / "noisy.py").write_text(VERB + source + HOOK)
        info = tmp_path / "noisy-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[seqzoo]\nnoisy = noisy\n")
        return process(*words, PYTHONPATH=str(tmp_path), **variables)

    return call


@pytest.mark.parametrize("noise", NOISES)
def test_the_output_of_a_plugin_is_not_part_of_the_json(noisy, noise):
    answer = noisy(NOISES[noise], "list", "--json")
    assert answer.code == 0, answer.err
    assert {"sasrec"} <= {model["name"] for model in json.loads(answer.out)}
    assert "NOISE" in answer.err
    found = {p["name"]: p for p in json.loads(noisy(NOISES[noise], "plugins", "--json").out)}
    assert found["noisy"]["status"] == "ok"


def test_a_thread_that_never_ends_does_not_keep_the_command_from_ending(noisy):
    answer = noisy(ENDLESS, "list", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)
    assert "left running: 'the endless one'" in answer.err
    assert noisy(ENDLESS, "info", "nothing-of-this-name").code == 2


def test_a_plugins_verb_may_work_in_threads(noisy):
    answer = noisy(
        "import threading, time\n"
        "def late():\n    time.sleep(5.5)\n    os.write(2, b'done')\n"
        "def shout() -> None:\n    threading.Thread(target=late).start()\n",
        "shout",
    )
    assert (answer.code, answer.out, answer.err) == (0, "", "done")


def test_exit_handlers_still_run(noisy):
    source = ENDLESS + "import atexit; atexit.register(print, 'flushed at exit')"
    assert "flushed at exit" in noisy(source, "list", "--json").err


def test_what_a_plugins_verb_prints_is_its_answer(noisy):
    answer = noisy("", "shout")
    assert (answer.code, answer.out, answer.err) == (0, "one\ntwo\nthree\n", "")
    assert "Print in every way." in noisy("", "--help").out


def test_what_is_printed_while_a_verb_runs_in_this_process(seqzoo, monkeypatch):
    from seqzoo import zoo

    original = zoo.list_models

    def chatty(*arguments, **options):
        print("NOISE")  # noqa: T201
        return original(*arguments, **options)

    monkeypatch.setattr(zoo, "list_models", chatty)
    answer = seqzoo("list", "sasrec", "--json")
    assert json.loads(answer.out)[0]["name"] == "sasrec"
    assert answer.err == "NOISE\n"


def test_the_shell_gets_its_completions(process):
    answer = process(
        _SEQZOO_COMPLETE="complete_bash", _TYPER_COMPLETE_ARGS="seqzoo li", COMP_WORDS="seqzoo li",
        COMP_CWORD="1",
    )  # fmt: skip
    assert answer.out.split() == ["list"]
    assert (
        "_SEQZOO_COMPLETE"
        in process("--show-completion", "bash").out + process(_SEQZOO_COMPLETE="source_bash").out
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(closed):
    command = f"{sys.executable} -m seqzoo list --json {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if closed == "2>&-":
        assert json.loads(done.stdout)
