import dataclasses

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load

from seqzoo.checkpoint.card import split_card
from seqzoo.checkpoint.card_merge import merge_cards
from seqzoo.checkpoint.card_metadata import base_model_of
from seqzoo.checkpoint.pins_file import Pin
from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.plugins import catalogue
from seqzoo.specs import DatasetSpec, PublishedMetrics
from tests.checkpoint.cards import DATASET, card
from tests.samples import METRICS, RECIPE, make_model


def front(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_hub_reads_its_metadata():
    data = ModelCard(card()).data
    assert data.library_name == "seqzoo"
    assert data.license == "other"
    assert {"sequential-recommendation", "recommender-system", "seqzoo", "linrec"} <= set(data.tags)
    assert "arxiv:2403.03900" in data.tags
    found = {(r.dataset_config, r.metric_type): r.metric_value for r in data.eval_results}
    assert found == {
        ("loo-full", "hit@10"): 0.25,
        ("loo-full", "ndcg@10"): 1e-05,
        ("loo-full", "mrr@10"): 0.1,
    }
    assert {r.dataset_name for r in data.eval_results} == {"Toy-1K"}


def test_the_front_matter_follows_the_hubs_conventions(tmp_path):
    (tmp_path / "README.md").write_text(card(), "utf-8")
    found = metadata_load(tmp_path / "README.md")
    assert found["license"] == "other"
    assert found["license_name"] == "toy-terms"
    assert found["license_link"] == "https://example.org/terms"
    assert found["library_name"] == "seqzoo"
    assert found["pipeline_tag"] == "other"
    assert found["datasets"] == ["toy"]
    assert "base_model" not in found
    on_the_hub = dataclasses.replace(DATASET, hub="org/toy")
    assert front(card(dataset=on_the_hub))["datasets"] == ["org/toy"]
    (model,) = front(card(dataset=on_the_hub))["model-index"]
    assert {result["dataset"]["type"] for result in model["results"]} == {"org/toy"}
    own = front(card(dataset=None))
    assert not {"datasets", "license", "license_link"} & own.keys()


def test_a_fine_tuned_model_names_its_base_model():
    text = card(base_model="org/base")
    found = front(text)
    assert (found["base_model"], found["base_model_relation"]) == ("org/base", "finetune")
    assert "fine-tuned from [org/base](https://huggingface.co/org/base)." in text
    again = card(existing=text)
    assert not {"base_model", "base_model_relation"} & front(again).keys()
    assert "fine-tuned" not in again
    mine = card().replace("---\n", "---\nbase_model: me/mine\nbase_model_relation: adapter\n", 1)
    kept = front(card(existing=mine))
    assert (kept["base_model"], kept["base_model_relation"]) == ("me/mine", "adapter")
    assert "fine-tuned from `mine`" in card(recipe={"start": "/home/somebody/mine"})


def test_where_a_run_started_gives_the_base_model(monkeypatch):
    name = next(iter(catalogue().pretrained)).name
    pin = Pin("org/pinned", "0" * 40, "a" * 64)
    monkeypatch.setattr("seqzoo.checkpoint.pins_file.pins", lambda: {name: pin})
    address = "hf://org/base@v1"
    for start, repo in (
        (address, "org/base"),
        ({"source": address, "sha256": "b" * 64}, "org/base"),
        (name, "org/pinned"),
        ({"source": name, "sha256": None}, "org/pinned"),
        ({"source": name, "sha256": "a" * 64}, "org/pinned"),
        # Trained again since: the weights that this model started from are not published.
        ({"source": name, "sha256": "b" * 64}, None),
        ({"source": "runs/mine", "sha256": "a" * 64}, "org/pinned"),
        ({"source": "runs/mine", "sha256": "b" * 64}, None),
        ("runs/mine", None),
        ("hf://nothing", None),
        (None, None),
    ):
        assert base_model_of({"start": start}) == repo, start
    assert base_model_of({}) is None


@pytest.mark.parametrize("start", [3, {"sha256": "a" * 64}, {"source": ["x"]}, ["x"]])
def test_a_start_that_cannot_be_read_is_not_saved(tmp_path, start):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml: 'start"):
        save_model(tmp_path, make_model(), recipe={**RECIPE, "start": start}, metrics={})


def test_metadata_of_earlier_data_is_replaced():
    other = DatasetSpec("other", "seqzoo", licence="free", terms="https://example.org/free")
    entry = {**METRICS["loo-full"], "data": {"name": "other"}}
    found = front(card(existing=card(), dataset=other, metrics={"loo-full": entry}))
    # The data set of the earlier card is not registered, so its name may be one that people added.
    assert found["datasets"] == ["other", "toy"]
    earlier = catalogue().datasets.get("ml-1m")
    before = card(dataset=earlier)
    assert front(before)["license_link"] == earlier.terms
    found = front(card(existing=before, dataset=other, metrics={"loo-full": entry}))
    assert found["datasets"] == ["other"]
    assert (found["license_name"], found["license_link"]) == ("other-terms", other.terms)


def test_metadata_that_people_add_survives():
    films = catalogue().datasets.get("ml-1m")
    generated = card(dataset=films)
    mine = generated.replace(f"license_link: {films.terms}", "license_link: LICENSE")
    mine = mine.replace("pipeline_tag: other", "pipeline_tag: text-ranking")
    mine = mine.replace("datasets:\n- ml-1m\n", "datasets:\n- ml-1m\n- me/more\n")
    for existing in (mine, merge_cards(generated, mine, "ours", "theirs")):
        found = front(card(dataset=films, existing=existing))
        assert found["license_link"] == "LICENSE"
        assert found["pipeline_tag"] == "text-ranking"
        assert found["datasets"] == ["ml-1m", "me/more"]


def test_a_person_finds_what_is_needed():
    text = card()
    for fragment in (
        "# linrec-toy",
        "[arXiv:2403.03900](https://arxiv.org/abs/2403.03900)",
        "3,416 items",
        "123,456 parameters",
        "1.9 MiB",
        'model = seqzoo.load("linrec-toy")',
        'model.recommend(["1", "it\'s 2"], k=5)',
        "seqzoo recommend linrec-toy --history 1 'it'\"'\"'s 2' -k 5",
        "| metric | @5 | @10 |",
        "| HR | 0.2000 | 0.2500 |",
        "12 users, 20 items",
        "seqzoo eval linrec-toy --data toy",
        "research use",
        "A. Author. 2020. https://doi.org/10/a\\_b",
        "| `train.lr` | 1e-05 |",
        "seqzoo train recipe.yaml",
        "newest 200 events",
    ):
        assert fragment in text, fragment


def test_the_package_of_a_third_party_plugin_is_installed_too():
    assert "\npip install seqzoo\n" in card()
    assert "\npip install seqzoo seqzoo-linrec\n" in card(distribution="seqzoo-linrec")
    assert "$ " not in split_card(card())[1]


def test_a_card_without_metrics_shows_none():
    text = card(metrics={}, recipe={}, dataset=None, paper="", description="")
    assert "Not measured yet" in text
    assert "model-index" not in front(text)
    assert "license" not in front(text)
    assert "cannot be reproduced" in text
    ModelCard(text)


def test_generating_again_changes_nothing():
    assert card(existing=card()) == card()


def test_hand_written_text_and_keys_survive():
    mine = (
        card().replace("---\n", "---\nlanguage: en\n", 1).replace("- linrec\n", "- linrec\n- me\n")
    )
    mine = mine.replace("license: other", "license: mit")
    block = "<!-- seqzoo:generated limits -->"
    mine = mine.replace(block, f"## Mine\n\nMy own words.\n\n{block}") + "\nThe end.\n"
    again = card(existing=mine, vocabulary_size=9)
    assert "## Mine\n\nMy own words." in again
    assert again.endswith("The end.\n")
    assert "3,416" not in again
    assert front(again)["language"] == "en"
    assert front(again)["license"] == "mit"
    assert "me" in front(again)["tags"]


def test_a_removed_block_stays_away():
    text = card()
    start = text.index("<!-- seqzoo:generated files -->")
    again = card(existing=text[:start])
    assert "## Files" not in again
    assert "## Limits" in again


def test_a_marker_without_its_end_swallows_nothing():
    text = card().replace(
        "<!-- /seqzoo:generated -->\n\n<!-- seqzoo:generated use",
        "words\n<!-- seqzoo:generated use",
        1,
    )
    again = card(existing=text)
    assert "words" in again
    assert again.count("## Usage") == 1


def test_a_card_without_blocks_keeps_its_text_first():
    text = card(existing="# Hello\n\nMine.")
    assert text.index("Mine.") < text.index("# linrec-toy")


def test_values_cannot_break_out_of_their_place():
    text = card(
        description="a\n<!-- /seqzoo:generated --> | b",
        recipe={"note": "x | y\n<script>", "data": {"path": "/home/somebody/data.csv"}},
        name="n",
    )
    assert text.count("<!-- /seqzoo:generated -->") == text.count("<!-- seqzoo:generated ")
    assert "<script>" not in text
    assert "x \\| y" in text
    assert "somebody" not in text


@pytest.mark.parametrize(
    "front",
    [
        "a: [",
        "- a",
        "tags: [[x]]",
        "tags: 3",
        "license: {a: b}",
        "x: &a [1]\ny: *a",
        "x: !!python/name:os.system",
        "x: 1\nx: 2",
        "x: .nan",
    ],
)
def test_front_matter_that_cannot_be_read(front):
    with pytest.raises(CheckpointError, match=r"the front matter of README\.md"):
        card(existing=f"---\n{front}\n---\nx")


def test_dates_and_blank_lines_in_a_hand_written_card_are_fine():
    text = card(
        existing="\n  \n---\nlicense: mit\nreleased: 2024-01-01\ntags: one\n---\n\nWords.\n"
    )
    assert text.count("\n---\n") == 1
    assert front(text)["license"] == "mit"
    assert str(front(text)["released"]) == "2024-01-01"
    assert "one" in front(text)["tags"]
    assert text.index("Words.") < text.index("# linrec-toy")
    assert card(existing=text) == text


def test_saving_writes_a_card_and_keeps_what_people_wrote(folder, model):
    path = folder / "README.md"
    assert "| HR | 0.2000 | 0.2500 |" in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8") + "\nMine.\n", "utf-8")
    save_model(folder, make_model(1, items=33), recipe=RECIPE, metrics=METRICS)
    assert "33 items" in path.read_text("utf-8")
    assert path.read_text("utf-8").endswith("\nMine.\n")
    path.write_text("All mine.")
    save_model(folder, model, recipe=RECIPE, metrics=METRICS)
    assert path.read_text() == "All mine."
    save_model(folder, model, recipe=RECIPE, metrics=METRICS, card="Given.")
    assert path.read_text() == "Given."


def test_a_card_that_cannot_be_read_does_not_cost_the_model(folder, model, caplog):
    path = folder / "README.md"
    broken = path.read_text("utf-8").replace("---\n", "---\na: [\n", 1)
    path.write_text(broken, "utf-8")
    save_model(folder, model, recipe={}, metrics={})
    assert path.read_text("utf-8") == broken
    assert "front matter" in caplog.text


def test_published_metrics_of_the_same_protocol_are_shown_beside():
    name = METRICS["loo-full"]["data"]["name"]
    same = PublishedMetrics(name, "loo-full", {"hit@10": 0.31, "mrr@20": 0.2}, "the | paper")
    others = [
        PublishedMetrics(name, "loo-recbole", {"hit@10": 0.99}, "another order"),
        PublishedMetrics("elsewhere", "loo-full", {"hit@10": 0.98}, "other data"),
    ]
    text = card(published=[same, *others])
    assert "| this checkpoint | 0.2500 |  |" in text
    assert "| the \\| paper | 0.3100 | 0.2000 |" in text
    assert "another order" not in text
    assert "other data" not in text
    assert "this checkpoint" not in card(published=others)


def test_the_curve_is_shown_where_there_is_one(tmp_path):
    assert "](curve.png)" in card(curve="curve.png")
    assert "curve.png" not in card()
    model = make_model()
    save_model(tmp_path, model, recipe=RECIPE, metrics=METRICS)
    assert "curve.png" not in (tmp_path / "README.md").read_text()
    (tmp_path / "curve.png").write_bytes(b"picture")
    save_model(tmp_path, model, recipe=RECIPE, metrics=METRICS, overwrite=True)
    assert "](curve.png)" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "curve.png").read_bytes() == b"picture"


def test_a_front_matter_that_takes_time_is_refused():
    bomb = "---\na: 1" + ":1" * (1 << 16) + "\n---\n"
    with pytest.raises(CheckpointError, match=r"front matter of README\.md has .* at most 65536"):
        card(existing=bomb)


def test_dashes_inside_the_front_matter_do_not_end_it():
    text = card(existing="---\nlicense: mit\ntitle: a---\n---\n\nWords.\n")
    assert "\ntitle: a---\n" in text
    assert "Words." in text
