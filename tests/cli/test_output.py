"""Answers on stdout, notes and errors on stderr, and untrusted text escaped on both."""

import io
import json
import sys

import pytest

from seqzoo.cli import output

HOSTILE = "\x1b[2J\x9b31m\u202eevil\u2066\u200b\ufeff\u2028\ud800\U000e0041"


def test_json_shows_invisible_characters_as_escapes(capsys):
    document = {f"key {HOSTILE}": ["Amélie 東京 🎬", HOSTILE, {"a": 1.5, "b": None}]}
    output.print_json(document)
    out = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in out)
    assert "Amélie 東京 🎬" in out
    assert r"\u001b[2J\u009b31m\u202eevil\u2066\u200b\ufeff\u2028\ud800\udb40\udc41" in out
    assert json.loads(out) == document


@pytest.mark.parametrize("show", [output.note, output.complain])
def test_notes_and_errors_are_one_printable_line(capsys, show):
    show(f"{HOSTILE}\r\nsecond line")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith(" second line\n")
    assert all(char.isprintable() for char in said.removesuffix("\n"))


def test_unknown_items_are_noted_without_control_characters(seqzoo, tiny):
    said = seqzoo("recommend", tiny, "--history", "i1", "\u202eevil\x1b[2J", "--json")
    assert said.code == 0
    assert "\u202e" not in said.out + said.err
    assert json.loads(said.out)["unknown"] == ["\u202eevil\x1b[2J"]


def test_old_encodings_get_what_they_can_show(monkeypatch):
    screen = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(screen, encoding="ascii"))
    output.write("Amélie\n")
    sys.stdout.flush()
    assert screen.getvalue() == b"Am?lie\n"
