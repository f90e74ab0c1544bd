"""``seqzoo eval``."""

import json

import pytest

from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel


def tamper(folder, by, sequences=None):
    """Save the checkpoint again with other stored metrics."""
    model = SequenceModel.from_pretrained(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["loo-full"]["metrics"]["ndcg@10"] += by
    if sequences:
        metrics["loo-full"]["data"]["fingerprints"]["sequences"] = sequences
    save_model(folder, model, recipe=model.recipe, metrics=metrics)


def test_the_json_has_the_keys_of_the_contract(trained, seqzoo):
    answer = seqzoo("eval", trained.folder, "--json")
    assert (answer.code, answer.err) == (0, "")
    said = json.loads(answer.out)
    assert said.keys() == {
        "model", "protocol", "users", "targets", "items", "metrics", "known_targets", "stored",
        "drift", "data", "seconds", "environment", "lists",
    }  # fmt: skip
    assert said["protocol"] == "loo-full"
    assert (said["users"], said["items"]) == (120, 40)
    assert set(said["metrics"]) == {
        f"{metric}@{cutoff}" for metric in ("hit", "ndcg", "mrr") for cutoff in (5, 10, 20, 50)
    }
    assert said["stored"] == pytest.approx(said["metrics"], abs=1e-6)
    assert said["drift"] == {}


def test_the_real_command_shows_measured_beside_stored(trained, process):
    answer = process("eval", trained.folder, "--protocol", "loo-full-unseen")
    assert (answer.code, answer.err) == (0, "")
    assert "metric   measured  stored  difference" in answer.out
    (row,) = (line.split() for line in answer.out.splitlines() if line.startswith("NDCG@10"))
    assert row[1] == row[2]
    assert row[3] in ("+0.0000", "-0.0000")
    assert "no drift" in answer.out
    assert "data sha256:" in answer.out


def test_drift_is_exit_code_1(seqzoo, tiny):
    tamper(tiny, 0.01)
    answer = seqzoo("eval", tiny)
    assert (answer.code, answer.err) == (1, "")
    (row,) = (line.split() for line in answer.out.splitlines() if line.startswith("NDCG@10"))
    assert row[-2:] == ["-0.0100", "drift"]
    assert "drift: 1 of 12 metrics differ" in answer.out
    said = seqzoo("eval", tiny, "--json")
    assert said.code == 1
    assert json.loads(said.out)["drift"] == {"ndcg@10": pytest.approx(-0.01)}


def test_differences_below_four_digits_are_not_drift(seqzoo, tiny):
    tamper(tiny, 4e-5)
    assert seqzoo("eval", tiny).code == 0


def test_metrics_of_other_data_are_a_warning(seqzoo, tiny):
    tamper(tiny, 0.01, sequences="sha256:" + "0" * 64)
    answer = seqzoo("eval", tiny)
    assert answer.code == 0
    assert "warning: the data differ from those of the stored metrics" in answer.err
    assert "the stored metrics were measured on other data" in answer.out
    assert seqzoo("eval", tiny, "--quiet").err == ""


def test_other_settings_of_the_data_are_other_data(seqzoo, tiny):
    answer = seqzoo("eval", tiny, "--min-count", 6, "--json")
    assert answer.code == 0
    assert "the data differ" in answer.err
    assert json.loads(answer.out)["drift"]


def test_no_stored_metrics(seqzoo, tiny):
    model = SequenceModel.from_pretrained(tiny)
    save_model(tiny, model, recipe=model.recipe, metrics={})
    answer = seqzoo("eval", tiny)
    assert answer.code == 0
    assert "no metrics are stored for loo-full" in answer.out
    assert "difference" not in answer.out
    save_model(tiny, model, recipe=model.recipe, metrics={"loo-recbole": {"metrics": {}}})
    assert "there are some for --protocol loo-recbole" in seqzoo("eval", tiny).out
    assert "eval ./tiny --protocol loo-recbole" in seqzoo("info", tiny).out.replace(
        str(tiny), "./tiny"
    )


def test_what_the_protocol_fixes_cannot_be_asked_for_otherwise(refused, tiny):
    said = refused("eval", tiny, "--protocol", "loo-recbole", "--min-count", 1)
    assert "'loo-recbole' uses the 5-core, and --min-count is 1" in said


def test_a_file_keeps_the_columns_of_the_recipe(seqzoo, shop, shop_csv, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(shop_csv.read_bytes())
    for words in ([], ["--data", shop_csv], ["--data", copy]):
        answer = seqzoo("eval", shop.folder, *words, "--json")
        assert (answer.code, answer.err) == (0, "")
        assert json.loads(answer.out)["drift"] == {}


def test_options_of_generated_data_do_not_reach_a_file(refused, tiny, shop_csv):
    said = refused("eval", tiny, "--data", shop_csv, "--user-col", "customer", "--item-col", "sku",
        "--time-col", "bought_at", "--min-count", 1)  # fmt: skip
    assert "none of its 30 items" in said


def test_no_data_to_be_found(refused, tiny):
    model = SequenceModel.from_pretrained(tiny)
    save_model(tiny, model, recipe={}, metrics={})
    assert "give them with --data" in refused("eval", tiny)
    assert "--data is empty" in refused("eval", tiny, "--data", "")


def test_items_that_the_model_does_not_know_count_as_misses(seqzoo, tiny, tmp_path):
    """The metrics without them are shown, too."""
    rows = [f"u{user},i{(user + step) % 40 + 1},{step}" for user in range(20) for step in range(6)]
    rows += [f"u{user},new-item,9" for user in range(5)]
    (tmp_path / "newer.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    words = ("eval", tiny, "--data", tmp_path / "newer.csv", "--min-count", 1)
    said = json.loads(seqzoo(*words, "--json").out)
    assert (said["users"], said["known_targets"]["users"]) == (20, 15)
    out = seqzoo(*words).out
    assert "20 users (15 with a held-out item that the model knows)" in out
    assert "metric   measured  known items  stored" in out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("HR@50"))
    assert float(row[1]) == pytest.approx(0.75 * float(row[2]), abs=1e-4)
