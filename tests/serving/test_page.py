"""The files of the page at ``/``, and the routes that it needs, from a real process."""

import asyncio
import re
import threading

import numpy as np
import pytest

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.serving.service import served
from seqzoo.serving.service.errors import ServiceError
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.page import STATIC
from seqzoo.serving.service.reasons import ItemsRequest
from seqzoo.serving.service.requests import RecommendRequest
from seqzoo.serving.service.titles import TitleIndex
from tests.samples import make_model


@pytest.fixture(scope="module")
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def model(checkpoint):
    return seqzoo.load(checkpoint)


def refused(answer, status, kind):
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text
    return answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", *(f"/static/{each.name}" for each in STATIC.iterdir())])
def test_files_come_with_a_strict_policy(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code in (
        200,
        304,
    )


@pytest.mark.parametrize("file", sorted(STATIC.iterdir()), ids=lambda each: each.name)
def test_no_file_names_an_outside_address_or_sets_markup(file):
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.|@import|innerHTML|outerHTML|insertAdjacent", text)
    assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=[\"']|style=", text)


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/absent"])
def test_nothing_else_is_served(client, path):
    refused(client.get(path), 404, "not_found")


def test_search_by_title_whatever_case_and_accents(client):
    answer = client.post("/v1/items", json={"query": "  TITLE 7 "})
    assert answer.json()["items"][0] == {"item": "item-7", "label": "Tïtle 7"}
    assert {each["item"] for each in answer.json()["items"]} == {"item-7", "item-17"}
    assert (
        client.post("/v1/items", json={"query": "item-12"}).json()["items"][0]["item"] == "item-12"
    )
    assert client.post("/v1/items", json={"query": "no such title"}).json()["items"] == []


def test_search_without_words_finds_what_is_popular(client):
    answer = client.post("/v1/items", json={"query": "", "k": 3}).json()
    assert [each["item"] for each in answer["items"]] == ["item-19", "item-18", "item-17"]


def test_titles_of_ids(client):
    answer = client.post("/v1/items", json={"items": ["item-3", "gone", "item-1"]}).json()
    assert [each["label"] for each in answer["items"]] == ["Tïtle 3", "Tïtle 1"]
    assert answer["unknown"] == ["gone"]


@pytest.mark.parametrize("fields", [{}, {"query": "a", "items": ["item-1"]}])
def test_query_and_items_exclude_each_other(client, fields):
    assert "one of query and items" in refused(
        client.post("/v1/items", json=fields), 422, "invalid_request"
    )


def test_reasons_agree_with_the_model(client, model):
    history = ["item-1", "gone", "item-2", "item-3"]
    best = model.recommend(history, 16)
    for rank, each in enumerate(best, start=1):
        request = {"history": history, "item": each.item}
        answer = client.post("/v1/reasons", json=request).json()
        assert (answer["rank"], answer["label"]) == (rank, each.label)
        assert answer["score"] == pytest.approx(each.score, abs=1e-5)
        nearest = model.similar(each.item, 3, candidates=history)
        assert [one["item"] for one in answer["nearest"]] == [one.item for one in nearest]


def test_reasons_for_an_item_of_the_history(client, model):
    answer = client.post("/v1/reasons", json={"history": ["item-1"], "item": "item-1"}).json()
    (score,) = model.recommend(["item-1"], 1, candidates=["item-1"], exclude_seen=False)
    assert answer["score"] == pytest.approx(score.score, abs=1e-5)
    assert answer["nearest"] == []


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"history": ["item-1"], "item": "gone"}, 422, "unknown_item"),
        ({"history": ["gone"], "item": "item-1"}, 422, "unknown_item"),
        ({"history": [], "item": "item-1"}, 422, "invalid_request"),
        ({"item": "item-1"}, 422, "invalid_request"),
        ({"history": ["item-1"], "item": "item-2", "k": 0}, 422, "invalid_request"),
        ({"history": ["item-1"], "item": "item-2", "model": "other"}, 404, "unknown_model"),
    ],
)
def test_reasons_that_cannot_be_given(client, fields, status, kind):
    refused(client.post("/v1/reasons", json=fields), status, kind)


def test_the_page_needs_no_token_and_its_data_do(serve, checkpoint):
    with serve(checkpoint, SEQZOO_TOKEN="secret-token").client() as client:
        assert client.get("/").status_code == client.get("/static/page.js").status_code == 200
        refused(client.post("/v1/items", json={"query": ""}), 401, "unauthorized")
        refused(
            client.post("/v1/reasons", json={"history": ["item-1"], "item": "item-2"}),
            401,
            "unauthorized",
        )


def test_a_search_finds_what_a_scan_finds():
    rng = np.random.default_rng(0)
    words = ["star", "wars", "Amélie", "THE", "a", "b b", "new\nline", "tab\tbed"]
    labels = [" ".join(rng.choice(words, 3)) for _ in range(500)]
    labels[7:9] = [None, ""]
    titles = TitleIndex(Vocabulary([f"x{n}" for n in range(500)], labels))
    for query in ("star wars", "amelie", "the", "new line", "tab bed", "x7", "a"):
        found = set(titles.search(query, 500))
        every = {
            at
            for at, label in enumerate(labels, start=1)
            if all(
                word in (label or "").casefold().replace("é", "e") or word in f"x{at - 1}"
                for word in query.split()
            )
        }
        assert found == every


def test_an_exact_title_comes_first_then_what_is_popular():
    labels = ["Matrix Reloaded, The", "The Matrix", "Matrix", "Automatrix", "Best of Matrix"]
    titles = TitleIndex(Vocabulary(list("abcde"), labels, [1, 2, 3, 99, 98]))
    assert ["abcde"[index - 1] for index in titles.search("matrix", 5)] == list("caebd")


def test_a_model_answers_while_its_titles_are_indexed(checkpoint, monkeypatch):
    """The worker that recommends does not build the index."""
    started, release = threading.Event(), threading.Event()

    class Slow(TitleIndex):
        def __init__(self, vocabulary):
            started.set()
            assert release.wait(30)
            super().__init__(vocabulary)

    monkeypatch.setattr(served, "TitleIndex", Slow)
    model = served.ServedModel(str(checkpoint), Limits())

    async def ask():
        with pytest.raises(ServiceError, match="being indexed; try again later"):
            await model.titles(0.05)
        assert started.is_set()
        (best,) = await model.batcher.submit(RecommendRequest([["item-1"]], k=3), 10)
        waiting = asyncio.ensure_future(model.titles(30))
        release.set()
        titles = await waiting
        search = ItemsRequest("title 7", k=1, titles=titles)
        return best, titles, await model.titles(1), await model.batcher.submit(search, 10)

    try:
        best, titles, again, found = asyncio.run(ask())
    finally:
        model.close()
    assert len(best) == 3
    assert titles is again
    assert found["items"] == [{"item": "item-7", "label": "Tïtle 7"}]


def test_a_replaced_model_has_an_index_of_its_own(tmp_path):
    make_model().save_pretrained(tmp_path / "model")
    model = served.ServedModel(str(tmp_path / "model"), Limits())

    async def ask():
        before = await model.titles(10)
        make_model(items=30).save_pretrained(tmp_path / "model")
        assert model.reload()
        return before, await model.titles(10)

    try:
        before, after = asyncio.run(ask())
    finally:
        model.close()
    assert (len(before.search("", 50)), len(after.search("", 50))) == (20, 30)
