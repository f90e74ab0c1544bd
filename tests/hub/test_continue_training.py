"""A model with item features that was trained further, published and pulled by others."""

import pytest

import seqzoo
from seqzoo.checkpoint.manifest import FEATURES
from seqzoo.training.loop import train

from . import client

REPO = "org/continued"
OPTIONS = {"users": 40, "items": 20, "mean_length": 10}


@pytest.fixture
def hub(emptied_hub):
    return emptied_hub


@pytest.mark.slow
def test_push_continue_from_the_hub_and_pull(hub, tmp_path, monkeypatch):
    titles = [{"item_id": f"i{n}", "title": f"chair {n % 5}"} for n in range(1, 41)]
    recipe = {
        "architecture": "gru4rec",
        "model": {
            "embedder": "item-features",
            "hidden_size": 8,
            "gru_size": 8,
            "max_length": 10,
            "feature_codes": 64,
        },
        "data": {
            "source": "synthetic",
            "options": OPTIONS,
            "min_count": 1,
            "item_features": titles,
        },
        "train": {"epochs": 1, "baselines": False},
    }
    train(recipe, tmp_path / "old")
    env = client.client_environment(hub.url, tmp_path / "here")
    push = "import seqzoo\ndone = seqzoo.push({!r}, {!r})\nanswer['commit'] = done.address.revision"
    commit = client.run_client(push.format(str(tmp_path / "old"), "org/old"), env)["commit"]
    assert FEATURES in hub.files("org/old")

    code = f"""
    import seqzoo
    from seqzoo.training.loop import train
    recipe = {{
        "start": "hf://org/old",
        "data": {{"source": "synthetic", "options": {{**{OPTIONS!r}, "items": 30, "seed": 1}}}},
        "train": {{"epochs": 1}},
    }}
    found = train(recipe, {str(tmp_path / "new")!r})
    answer["start"], answer["new_items"] = found.start, found.new_items
    """
    found = client.run_client(code, env)
    assert found["start"]["source"] == f"hf://org/old@{commit}"
    assert found["new_items"] > 0

    client.run_client(push.format(str(tmp_path / "new"), REPO), env)
    assert "base_model: org/old" in hub.files(REPO)["README.md"].decode()
    there = client.client_environment(hub.url, tmp_path / "there", token=None)
    score = """
    import seqzoo
    model = seqzoo.load({!r})
    answer["items"] = model.recommend(list(model.vocabulary.items[:3]), 5).__repr__()
    answer["features"] = model.item_features.kinds
    """
    here = client.run_client(score.format(str(tmp_path / "new")), env)
    assert client.run_client(score.format(f"hf://{REPO}"), there)["items"] == here["items"]
    assert here["features"] == {"title": "text"}

    # A later checkpoint without features leaves none behind.
    plain = {**recipe, "data": {**recipe["data"]}, "model": dict(recipe["model"])}
    del plain["data"]["item_features"], plain["model"]["embedder"]
    del plain["model"]["feature_codes"]
    train(plain, tmp_path / "plain")
    client.run_client(push.format(str(tmp_path / "plain"), REPO), env)
    assert FEATURES not in hub.files(REPO)
    assert seqzoo.load(tmp_path / "plain").item_features is None
