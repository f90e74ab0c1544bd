"""Cards and evaluation results as the Hub's own client reads and validates them."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard, constants, parse_eval_result_entries

from seqzoo.checkpoint.eval_results import EVAL_RESULTS, render_eval_results
from seqzoo.checkpoint.record import read_checkpoint
from seqzoo.model.load import load_model
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel

from .server import HubServer

REPO = "org/shop"
CARDS = Path(__file__).parents[2] / "model_cards"
NAMES = sorted(config.parent.name for config in CARDS.glob("*/config.json"))
METRICS = {"hit@10": 0.25, "ndcg@10": 0.125, "mrr@10": 0.1, "hit@5": 0.2}


@pytest.fixture
def hub(emptied_hub, monkeypatch) -> HubServer:
    monkeypatch.setattr(constants, "ENDPOINT", emptied_hub.url)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return emptied_hub


@pytest.fixture
def measured(folder):
    """Give the checkpoint metrics on a data set, and a recipe with more settings."""

    def measured(data: str, protocols=("loo-full", "loo-full-unseen"), **recipe) -> None:
        model = load_model(SequenceModel, read_checkpoint(folder))
        metrics = {protocol: {"metrics": METRICS, "data": {"name": data}} for protocol in protocols}
        save_model(folder, model, recipe={**model.recipe, **recipe}, metrics=metrics)

    return measured


@pytest.mark.parametrize("name", NAMES)
def test_every_card_passes_the_clients_validation(hub, name):
    card = ModelCard.load(CARDS / name / "README.md")
    card.validate()
    data = card.data.to_dict()
    assert data["license"] == "other"
    assert data["license_link"].startswith("https://")
    assert data["library_name"] == "seqzoo"
    (dataset,) = data["datasets"]
    assert data["license_name"] == f"{dataset}-terms"
    stored = json.loads((CARDS / name / "metrics.json").read_text())
    assert {entry["data"]["name"] for entry in stored.values()} == {dataset}


def test_the_server_validates_as_the_hub_does(hub):
    """The other tests would pass anything if it did not."""
    for wrong in ("license_link: [x]", "base_model_relation: child", "datasets: {a: b}"):
        with pytest.raises(ValueError, match="must be"):
            ModelCard(f"---\n{wrong}\n---\n", ignore_metadata_errors=True).validate()


@pytest.mark.parametrize("name", NAMES)
def test_the_client_parses_the_results_of_every_checkpoint(name):
    stored = json.loads((CARDS / name / "metrics.json").read_text())
    content = render_eval_results({}, stored, name)
    entries = parse_eval_result_entries(yaml.safe_load(content))
    found = {(entry.dataset_id, entry.task_id): entry.value for entry in entries}
    assert len(entries) == len(found) == 3 * len(stored)
    for protocol, entry in stored.items():
        for metric in ("hit", "ndcg", "mrr"):
            key = (entry["data"]["name"], f"{protocol}_{metric}_at_10")
            assert found[key] == entry["metrics"][f"{metric}@10"]


def test_results_are_pushed_beside_the_card(hub, push, measured):
    measured("ml-1m")
    assert EVAL_RESULTS in push()[1]["changed"]
    entries = HfApi(hub.url).model_info(REPO, expand=["evalResults"]).eval_results
    assert len(entries) == 6
    assert {entry.dataset_id for entry in entries} == {"ml-1m"}
    first = entries[0]
    assert (first.task_id, first.value) == ("loo-full_hit_at_10", METRICS["hit@10"])
    assert first.notes.startswith("HR@10, protocol loo-full; measure again: seqzoo eval hf://org/")
    assert push()[1]["changed"] == []
    measured("ml-1m", ["loo-full"])
    assert EVAL_RESULTS in push()[1]["changed"]
    assert len(yaml.safe_load(hub.files(REPO)[EVAL_RESULTS])) == 3


def test_results_on_own_data_are_not_pushed(hub, push, measured):
    measured("shop.csv")
    assert EVAL_RESULTS not in push()[1]["changed"]
    assert EVAL_RESULTS not in hub.files(REPO)
    card = ModelCard(hub.files(REPO)["README.md"].decode())
    assert card.data.datasets is None
    assert card.data.eval_results[0].dataset_type == "shop.csv"


def test_outdated_results_are_removed_and_those_of_others_kept(hub, push, measured):
    measured("ml-1m")
    push()
    theirs = ".eval_results/theirs.yaml"
    hub.commit(REPO, {theirs: "[]"})
    assert push()[1]["changed"] == []
    measured("shop.csv")
    planned = push("--dry-run")[1]["changed"]
    assert EVAL_RESULTS in planned
    assert EVAL_RESULTS in hub.files(REPO)
    assert push()[1]["changed"] == planned
    assert EVAL_RESULTS not in hub.files(REPO)
    assert hub.files(REPO)[theirs] == b"[]"


def test_a_repository_with_results_is_the_same_checkpoint(hub, push, work, measured, tmp_path):
    """It is pulled without them, and a whole copy of the repository is verified too."""
    measured("ml-1m")
    push()
    hub.clear_log()
    code = """
    from huggingface_hub import snapshot_download
    answer["pulled"] = run(["pull", "hf://org/shop", "--to", {!r}])
    answer["asked"] = run(["verify", {!r}])
    answer["copied"] = run(["verify", snapshot_download("org/shop", local_dir={!r})])
    """
    pulled, copy = tmp_path / "pulled", tmp_path / "copy"
    reply = work(code.format(str(pulled), str(pulled), str(copy)), tmp_path / "cache").expect()
    assert reply.answer == {"pulled": 0, "asked": 0, "copied": 0}, reply.err
    assert not (pulled / EVAL_RESULTS).exists()
    assert (copy / EVAL_RESULTS).is_file()


def test_a_fine_tuned_checkpoint_names_its_base_model_on_the_hub(hub, push, measured):
    measured("ml-1m", start={"source": "hf://org/base@v1", "sha256": "a" * 64})
    push()
    card = ModelCard(hub.files(REPO)["README.md"].decode())
    card.validate()
    assert card.data.base_model == "org/base"
    assert card.data.to_dict()["base_model_relation"] == "finetune"
    assert "base_model:org/base" in HfApi(hub.url).model_info(REPO).tags
    measured("ml-1m", start=None)
    push()
    assert ModelCard(hub.files(REPO)["README.md"].decode()).data.base_model is None
