"""Help, terminals, pipes that close and Ctrl-C."""

import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time

from seqzoo.cli import formats


def test_version(process):
    answer = process("--version")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("seqzoo ")


def in_terminal(*words, cwd=None, **variables):
    """What a terminal shows on stderr, and stdout, which is piped."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    started = subprocess.Popen(
        [sys.executable, "-m", "seqzoo", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        cwd=cwd,
        env={**environment, "TERM": "xterm", "COLUMNS": "80", **variables},
    )
    os.close(theirs)
    shown = []

    def read():
        try:
            while chunk := os.read(ours, 4096):
                shown.append(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    out = started.communicate()[0]
    reader.join()
    os.close(ours)
    return started.returncode, out, b"".join(shown).decode()


def test_bars_are_for_terminals(trained, tmp_path):
    code, out, shown = in_terminal("eval", trained.folder, "--json")
    assert code == 0
    assert json.loads(out)["drift"] == {}
    assert "users" in shown
    assert "120/120" in shown
    words = ("train", "sasrec", "--data", "synthetic", "--out", tmp_path / "run")
    settings = ("data.options.users=60", "model.hidden_size=8", "train.epochs=1")
    code, out, shown = in_terminal(*words, *settings)
    assert code == 0
    assert "epoch 1/1" in shown
    assert "\x1b" not in out


def test_errors_are_red_only_on_terminals():
    assert in_terminal("lst")[2].startswith("\x1b[1;31merror:\x1b[0m unknown command")
    assert in_terminal("lst", NO_COLOR="1")[2].startswith("error: unknown command")


def test_a_closed_pipe_is_not_an_error():
    command = f"{sys.executable} -m seqzoo info sasrec --json | head -c 5; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout[:5] == '{\n  "'


def test_a_closed_pipe_says_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    for words in (["list"], ["list", "--json"], ["--version"], ["list", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "seqzoo", *words], stdout=writing, stderr=subprocess.PIPE
        )
        assert done.stderr == b""
        assert done.returncode == 141
    os.close(writing)


def test_ctrl_c_keeps_the_best_epoch(tmp_path):
    out = tmp_path / "run"
    words = ["train", "sasrec", "--data", "synthetic", "--out", str(out), "model.hidden_size=8"]
    words += ["train.epochs=100000", "train.patience=100000"]
    command = [sys.executable, "-m", "seqzoo", *words]
    # Handed over, because the readline that pytest imports puts a width behind os.environ's back.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    lines = iter(process.stderr.readline, "")
    before = list(itertools.takewhile(lambda line: not line.startswith("epoch   1"), lines))
    assert any(line.startswith("training sasrec (") for line in before)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in complained
    assert "the same command resumes the run" in complained
    assert said.startswith("stopped: ")
    assert f"seqzoo recommend {out}" in said
    assert (out / "model.safetensors").is_file()


def test_ctrl_c_before_anything_is_there_is_quiet(tmp_path):
    fifo = tmp_path / "data.csv"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "seqzoo", "train", "sasrec", "--data", str(fifo), "--out",
        str(tmp_path / "run")]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with fifo.open("w"):  # opens when the command reads
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said, complained) == (130, "", "")
    assert not (tmp_path / "run").exists()


def test_numbers_as_people_read_them():
    assert formats.size(512) == "512 B"
    assert formats.size(2048) == "2 KiB"
    assert formats.size(3 << 20) == "3.0 MiB"
    assert formats.size(5 << 30) == "5.0 GiB"
    assert formats.metric(0.12345) == "0.1235"
    assert (formats.metric(None), formats.count(None), formats.size(None)) == ("", "", "")
    assert formats.count(1234567) == "1,234,567"
    assert [formats.seconds(value) for value in (1.23, 75, 3725)] == [
        "1.2 s",
        "1 min 15 s",
        "1 h 02 min",
    ]
    assert formats.as_model("mine") == "./mine"
    assert formats.as_model("runs/mine") == "runs/mine"
