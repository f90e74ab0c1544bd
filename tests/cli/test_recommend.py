"""``seqzoo recommend``."""

import json

import pytest

from seqzoo.cli.parsing import spread
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.zoo import load


def test_the_shops_own_ids_come_and_go(shop, seqzoo):
    assert shop.answer.code == 0, shop.answer.err
    history = ["SKU-003", "SKU-004", "SKU-005"]
    answer = seqzoo("recommend", shop.folder, "--history", *history, "-k", 5, "--json")
    assert (answer.code, answer.err) == (0, "")
    said = json.loads(answer.out)
    assert (said["model"], said["history"], said["unknown"]) == (str(shop.folder), history, [])
    items = [entry["item"] for entry in said["recommendations"]]
    assert len(set(items)) == 5
    assert all(item.startswith("SKU-") for item in items)
    assert not set(items) & set(history)
    assert [entry["label"] for entry in said["recommendations"]] == [f"Product {i}" for i in items]
    scores = [entry["score"] for entry in said["recommendations"]]
    assert scores == sorted(scores, reverse=True)


def test_the_real_command_prints_a_table(process, tiny):
    answer = process("recommend", "./tiny", "--history", "i1", "i2", "-k", "3", cwd=tiny.parent)
    assert (answer.code, answer.err) == (0, "")
    head, *rows = answer.out.splitlines()
    assert head.split() == ["item", "score", "title"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert "of group" in rows[0]


@pytest.mark.parametrize(
    "words",
    [
        ["NAME", "--history", "i1", "i2", "i3", "-k", "4"],
        ["--history", "i1", "i2", "i3", "-k", "4", "NAME"],
        ["NAME", "-k", "4", "--history", "i1", "i2", "i3"],
        ["--history", "i1", "i2", "i3", "NAME", "-k", "4"],
        ["-k", "4", "--history", "i1", "i2", "i3", "NAME"],
        ["-k4", "NAME", "--history", "i1", "--history=i2", "--history", "i3"],
        ["--history=i1", "--history=i2", "--history=i3", "-k", "4", "--", "NAME"],
    ],
)
def test_the_history_may_stand_anywhere(seqzoo, tiny, words):
    words = [str(tiny) if word == "NAME" else word for word in words]
    answer = seqzoo("recommend", "--json", *words)
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said["history"] == ["i1", "i2", "i3"]
    assert len(said["recommendations"]) == 4
    assert said["model"] == str(tiny)


def test_values_are_spread_up_to_the_next_option():
    def words(line):
        return spread(line.split(), ["--history", "--candidates"])

    assert words("m --history 1 -2 -k 5") == ["m", "--history=1", "--history=-2", "-k", "5"]
    assert words("--candidates a b --json") == ["--candidates=a", "--candidates=b", "--json"]
    assert words("--history a -- b") == ["--history=a", "--", "b"]
    assert words("--history=a b -k -1") == ["--history=a", "b", "-k", "-1"]
    assert words("--history - -x y") == ["--history=-", "-x", "y"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--history", "i1", "--candidates"], "--candidates"),
        (["--history", "i1", "--timestamps", "--json"], "--timestamps"),
        (["--history", "--candidates", "i1"], "--history"),
    ],
)
def test_an_option_without_its_values(refused, tiny, words, option):
    assert f"option '{option}' needs one value or more" in refused("recommend", tiny, *words)


def test_times_beyond_all_time(refused, tiny):
    said = refused("recommend", tiny, "--history", "i1", "i2", "--timestamps", 1, 10**20)
    assert "a timestamp is 100000000000000000000; expected" in said


def test_an_empty_recommendation_is_reported(seqzoo, tiny):
    answer = seqzoo("recommend", tiny, "--history", "i1", "--candidates", "i1")
    assert answer.code == 0
    assert "nothing to recommend: all candidates are in the history or excluded" in answer.err


def test_seen_items_stay_out_unless_asked_for(seqzoo, tiny):
    history = [f"i{number}" for number in range(1, 41)]
    words = ("recommend", tiny, "--history", *history[:39], "-k", 40, "--json")
    left = json.loads(seqzoo(*words).out)["recommendations"]
    assert [entry["item"] for entry in left] == ["i40"]
    assert len(json.loads(seqzoo(*words, "--include-seen").out)["recommendations"]) == 40


def test_candidates(seqzoo, tiny):
    answer = seqzoo("recommend", tiny, "--candidates", "i5", "i7", "--history", "i1", "--json")
    items = {entry["item"] for entry in json.loads(answer.out)["recommendations"]}
    assert items == {"i5", "i7"}


def test_excluded_items(seqzoo, tiny):
    words = ("recommend", tiny, "--history", "i1", "-k", "4", "--json")
    best = [one["item"] for one in json.loads(seqzoo(*words).out)["recommendations"]]
    answer = seqzoo(*words, "--exclude", best[0], "gone", best[2])
    assert answer.code == 0
    assert answer.err == "skipped exclusions, because the model does not know them: 'gone'\n"
    left = [one["item"] for one in json.loads(answer.out)["recommendations"]]
    assert left[:2] == [best[1], best[3]]
    assert not {best[0], best[2]} & set(left)


def test_unknown_candidates_are_skipped_or_refused(seqzoo, refused, tiny):
    words = ("recommend", tiny, "--history", "i1", "--candidates", "i5", "new", "i7")
    answer = seqzoo(*words, "--json")
    assert answer.err == "skipped candidates, because the model does not know them: 'new'\n"
    assert {one["item"] for one in json.loads(answer.out)["recommendations"]} == {"i5", "i7"}
    assert "candidates: item ids the model does not know: 'new'" in refused(
        *words, "--on-unknown", "error"
    )


@pytest.mark.parametrize("history", [(), ("--history", "gone", "lost")])
def test_a_user_without_a_known_item(seqzoo, refused, shop, history):
    words = ("recommend", shop.folder, *history, "-k", "3")
    assert "--on-cold popular" in refused(*words).replace("(--on-cold)", "--on-cold")
    answer = seqzoo(*words, "--on-cold", "popular", "--json")
    assert answer.code == 0
    said = json.loads(answer.out)
    assert (said["cold"], said["history"]) == (True, list(history[1:]))
    assert said["unknown"] == said["history"]
    counts = json.loads((shop.folder / "vocabulary.json").read_text())["counts"]
    assert [one["score"] for one in said["recommendations"]] == sorted(counts, reverse=True)[:3]
    empty = json.loads(seqzoo(*words, "--on-cold", "empty", "--json").out)
    assert (empty["cold"], empty["recommendations"]) == (True, [])


def test_the_table_for_a_user_without_a_known_item(seqzoo, shop):
    answer = seqzoo("recommend", shop.folder, "--on-cold", "popular", "-k", "2")
    assert answer.err == (
        "the model knows no item of the history, so it recommends the most popular items\n"
    )
    head, first, _ = answer.out.splitlines()
    assert head.split() == ["item", "interactions", "title"]
    assert first.split()[2].isdigit()
    answer = seqzoo("recommend", shop.folder, "--on-cold", "empty")
    assert "so it recommends nothing" in answer.err


def test_a_checkpoint_without_item_counts(refused, seqzoo):
    said = refused("recommend", "gru4rec-ml100k", "--on-cold", "popular")
    assert "the model has no item counts" in said
    assert "`seqzoo train`" in said
    answer = seqzoo("recommend", "gru4rec-ml100k", "--on-cold", "empty", "--json")
    assert json.loads(answer.out)["recommendations"] == []


def test_a_choice_for_cold_users_that_does_not_exist(refused, tiny):
    assert "'guess' is not one of" in refused("recommend", tiny, "--on-cold", "guess")


def test_unknown_items_are_skipped_and_named(seqzoo, tiny):
    answer = seqzoo("recommend", tiny, "--history", "i1", "gone", "i2", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["unknown"] == ["gone"]
    assert answer.err == "skipped, because the model does not know them: 'gone'\n"
    known = json.loads(seqzoo("recommend", tiny, "--history", "i1", "i2", "--json").out)
    assert json.loads(answer.out)["recommendations"] == known["recommendations"]


def test_timestamps_are_taken(seqzoo, tiny):
    words = ("recommend", tiny, "--history", "i1", "i2", "--timestamps", "100", "200", "--json")
    assert seqzoo(*words).code == 0


def test_titles_with_control_characters_do_no_harm(seqzoo, tiny):
    model = load(tiny)
    items = model.vocabulary.items
    model.vocabulary = Vocabulary(items, ["\x1b[2J bad\n[bold]title"] * len(items))
    model.save_pretrained(tiny)
    out = seqzoo("recommend", tiny, "--history", "i1", "-k", 1).out
    assert "\x1b[2J" not in out
    assert out.splitlines()[1].endswith(r"\x1b[2J bad [bold]title")


@pytest.mark.parametrize("given", ["[" * 100_000, "{", "5"], ids=["deep", "cut", "number"])
def test_features_that_are_not_a_json_object_are_refused_in_one_line(seqzoo, tiny, given):
    answer = seqzoo("recommend", tiny, "--history", "i1", "--features", given)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert "expected lists by name in JSON" in answer.err
