"""``seqzoo similar``."""

import json

import seqzoo as library


def test_json(seqzoo, tiny):
    answer = seqzoo("similar", tiny, "i3", "-k", 4, "--json")
    assert (answer.code, answer.err) == (0, "")
    said = json.loads(answer.out)
    assert (said["model"], said["item"]) == (str(tiny), "i3")
    expected = library.load(tiny).similar("i3", k=4)
    assert said["similar"] == [
        {"item": one.item, "score": one.score, "label": one.label} for one in expected
    ]


def test_the_table(seqzoo, tiny):
    answer = seqzoo("similar", tiny, "i3", "-k", 2)
    assert (answer.code, answer.err) == (0, "")
    head, *rows = answer.out.splitlines()
    assert head.split() == ["item", "score", "title"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert len(seqzoo("similar", tiny, "i3").out.splitlines()) == 11


def test_wrong_use(refused, tiny):
    assert "'item 3' is not among the 40 items" in refused("similar", tiny, "item 3")
    assert "k is 41; expected 1 to 40" in refused("similar", tiny, "i3", "-k", 41)
    assert "Missing argument".lower() in refused("similar", tiny).lower()
