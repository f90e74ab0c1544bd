"""Cards with untrusted text that looks like markup or like commands."""

import ast
import os
import re
import subprocess

import pytest
from markdown_it import MarkdownIt

from seqzoo.checkpoint.card import split_card
from seqzoo.model.save import save_model
from seqzoo.specs import PublishedMetrics
from tests.checkpoint.cards import card
from tests.samples import METRICS, RECIPE, make_model

END = "<!-- /seqzoo:generated -->"
HOSTILE = [
    "![t](http://tracker.example/x.png)",
    "[click](http://evil.example)",
    "http://evil.example and www.evil.example",
    "<img src=x onerror=alert(1)>",
    "a\n```\n# Out\n<b>x</b>\n```",
    "`` ` ``",
    f"x{END}y",
    "a | b \\| c",
    "**bold** _it_ ~~gone~~ $x$ &amp; #1",
    "\u202egnp.exe\u200b\x9b31m",
]


def hostile_card(value: str, **more) -> str:
    entry = {**METRICS["loo-full"], "data": {"name": value, "fingerprint": value}}
    entry |= {"seed": value, "backend": value, "versions": {value: value}}
    entry["metrics"] = {**entry["metrics"], value.replace("@", ""): 0.5}
    return card(
        name=value,
        source=value,
        dataset=None,
        example=[value, "ordinary"],
        metrics={value: entry},
        recipe={value: value, "data": {"name": value}},
        published=[PublishedMetrics(value, value, {"hit@10": 0.1}, value)],
        **more,
    )


def tokens(markdown: str) -> list:
    flat = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        flat += [token, *(token.children or [])]
    return flat


@pytest.mark.parametrize("value", HOSTILE)
def test_external_text_is_never_markup(value):
    text = hostile_card(value)
    assert hostile_card(value, existing=text) == text
    body = split_card(text)[1]
    assert body.count(END) == body.count("<!-- seqzoo:generated ")
    found = tokens(body)
    kinds = [token.type for token in found]
    assert "image" not in kinds
    links = [token.attrs["href"] for token in found if token.type == "link_open"]
    assert links == ["https://arxiv.org/abs/2403.03900"]
    html = [t.content.strip() for t in found if t.type in ("html_block", "html_inline")]
    assert all(re.fullmatch(r"<!-- /?seqzoo:generated.*-->", each) for each in html)
    assert not {"strong_open", "em_open", "s_open"} & set(kinds)
    ordinary = [token.type for token in tokens(split_card(hostile_card("ordinary"))[1])]
    assert kinds.count("heading_open") == ordinary.count("heading_open")
    assert kinds.count("fence") == ordinary.count("fence")
    assert kinds.count("td_open") == ordinary.count("td_open")
    # Bare addresses become links on the Hub.
    assert not re.search(r"(?<!\\)://(?!arxiv)(?![^`]*```)", body.split("## Usage")[0])
    assert all(c.isprintable() or c == "\n" for c in body)


@pytest.mark.parametrize("value", HOSTILE)
def test_the_commands_of_a_card_name_exactly_the_items(value):
    text = hostile_card(value)
    (code,) = (t.content for t in tokens(text) if t.type == "fence" and t.info == "python")
    calls = {
        getattr(node.func, "attr", ""): node.args[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
    }
    assert ast.literal_eval(calls["load"]) == value
    assert ast.literal_eval(calls["recommend"]) == [value, "ordinary"]
    (line,) = (line for line in text.splitlines() if line.startswith("seqzoo recommend"))
    shown = subprocess.run(
        ["bash", "-c", "printf '%s\\0' " + line.removeprefix("seqzoo recommend ")],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout.decode()
    assert shown.split("\0")[:4] == [value, "--history", value, "ordinary"]


def test_a_card_does_not_grow_at_every_save(tmp_path):
    model = make_model()
    items = list(model.vocabulary.items)
    items[0] = f"{END}\n```\n<b>"
    model = type(model).build(model.architecture, model.config, type(model.vocabulary)(items))
    save_model(tmp_path, model, recipe=RECIPE, metrics=METRICS)
    first = (tmp_path / "README.md").read_text("utf-8")
    for _ in range(2):
        save_model(tmp_path, model, recipe=RECIPE, metrics=METRICS)
    assert (tmp_path / "README.md").read_text("utf-8") == first
