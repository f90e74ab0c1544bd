"""The HTTP interface, from a real process."""

import asyncio
from urllib.parse import quote

import httpx
import pytest

import seqzoo
from seqzoo.serving.service.app import Service
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.served import ServedModel
from seqzoo.serving.service.telemetry import Metrics


@pytest.fixture(scope="module")
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def model(checkpoint):
    return seqzoo.load(checkpoint)


def as_json(best):
    return [{"item": each.item, "score": each.score, "label": each.label} for each in best]


def close(found, expected):
    assert [each["item"] for each in found] == [each["item"] for each in expected]
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    scores = [each["score"] for each in expected]
    assert [each["score"] for each in found] == pytest.approx(scores, abs=1e-5)


def error(answer, status, kind):
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"type", "message"}
    assert document["error"]["type"] == kind
    return document["error"]["message"]


def test_recommend_after_one_history(client, model, checkpoint):
    history = ["item-1", "gone", "item-2"]
    answer = client.post("/v1/recommend", json={"history": history, "k": 4}).json()
    assert answer["model"] == str(checkpoint)
    assert (answer["history"], answer["unknown"], answer["cold"]) == (history, ["gone"], False)
    close(answer["recommendations"], as_json(model.recommend(history, 4)))


def test_recommend_after_several_with_options(client, model):
    histories = [["item-1"], ["item-3", "item-4"], []]
    options = {
        "k": 3,
        "exclude_seen": False,
        "candidates": [f"item-{n}" for n in range(1, 12)],
        "exclude": ["item-5"],
        "on_cold": "popular",
    }
    answer = client.post("/v1/recommend", json={"histories": histories, **options}).json()
    expected = model.recommend_many(histories, **options)
    assert [each["cold"] for each in answer["results"]] == [False, False, True]
    for each, best in zip(answer["results"], expected, strict=True):
        close(each["recommendations"], as_json(best))


def test_similar(client, model):
    answer = client.post("/v1/similar", json={"item": "item-3", "k": 2}).json()
    close(answer["similar"], as_json(model.similar("item-3", 2)))


def test_a_session(client, model):
    for number, item in enumerate(["item-1", "item-2", "item-9"], 1):
        answer = client.post("/v1/sessions/a%20nn/events", json={"item": item})
        assert (answer.status_code, answer.json()["events"]) == (200, number)
        assert answer.json()["user"] == "a nn"
    answer = client.get("/v1/sessions/a nn/recommendations", params={"k": 3}).json()
    close(answer["recommendations"], as_json(model.recommend(["item-1", "item-2", "item-9"], 3)))
    assert client.delete("/v1/sessions/a nn").json() == {"user": "a nn", "events": 3}
    answer = client.get("/v1/sessions/a nn/recommendations")
    error(answer, 404, "unknown_session")
    popular = client.get("/v1/sessions/a nn/recommendations", params={"on_cold": "popular"}).json()
    assert (popular["cold"], popular["recommendations"][0]["item"]) == (True, "item-19")


@pytest.mark.parametrize("name", ["a/b", "a\nb", "a\n", "a/events", "\r\n", "\0", "\u00e4?#%"])
def test_every_text_is_an_id_of_its_own(client, name):
    place = f"/v1/sessions/{quote(name, safe='')}"
    client.post("/v1/sessions/a/events", json={"item": "item-1"})
    for count in (1, 2):
        answer = client.post(f"{place}/events", json={"item": "item-2"}).json()
        assert (answer["user"], answer["events"]) == (name, count)
    assert client.get(f"{place}/recommendations").json()["user"] == name
    assert client.delete(place).json() == {"user": name, "events": 2}
    assert client.delete("/v1/sessions/a").json() == {"user": "a", "events": 1}


def test_the_rest_of_the_interface(client, checkpoint):
    assert client.get("/healthz").json() == {"status": "ok"}
    (one,) = client.get("/v1/models").json()
    assert (one["name"], one["items"], one["sessions"]) == (str(checkpoint), 20, True)
    text = client.get("/metrics").text
    assert 'seqzoo_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert client.get("/").status_code == 200
    for path in ("/", "/healthz"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    page = client.get("/docs").text
    assert "https://" not in page
    for asset in ("/static-offline-docs/swagger-ui-bundle.js", "/openapi.json"):
        assert client.get(asset).status_code == 200
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    fields = schemas["RecommendRequest"]["properties"]
    assert "at most 16,384" in fields["k"]["description"]
    assert "at most 16,384" in fields["histories"]["description"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ({"history": ["item-1"], "k": 0}, 422, "invalid_request", "k: "),
        ({"history": ["item-1"], "k": 21}, 422, "invalid_request", "k is 21; expected 1 to 20"),
        ({"history": [1]}, 422, "invalid_request", "history.0: "),
        ({"history": ["item-1"], "kk": 2}, 422, "invalid_request", "kk: "),
        ({}, 422, "invalid_request", "one of history and histories"),
        ({"history": []}, 422, "unknown_item", "no item of the history"),
        ({"history": ["gone"]}, 422, "unknown_item", "no item of the history"),
        ({"history": ["item-1", "x"], "on_unknown": "error"}, 422, "unknown_item", "'x'"),
        ({"history": ["item-1"], "candidates": ["x"]}, 422, "unknown_item", "candidates"),
        ({"history": ["item-1"], "timestamps": [1, 2]}, 422, "invalid_request", "timestamps"),
        ({"history": ["item-1"] * 2, "timestamps": [2, 1]}, 422, "invalid_request", "earlier"),
        ({"history": ["item-1"], "model": "smal"}, 404, "unknown_model", "no model 'smal'"),
        ({"history": ["item-1"] * 10_001}, 422, "invalid_request", "history: "),
        ({"histories": [["item-1"]] * 256, "k": 65}, 422, "invalid_request", "at most 64 for k"),
    ],
)
def test_wrong_requests(client, body, status, kind, message):
    assert message in error(client.post("/v1/recommend", json=body), status, kind)


def test_wrong_http(client):
    json = {"content-type": "application/json"}
    error(client.post("/v1/recommend", content=b"{", headers=json), 400, "invalid_json")
    error(client.post("/v1/recommend", content=b"{}"), 415, "unsupported_media_type")
    error(client.post("/v1/recommend", content=b" " * (5 << 20), headers=json), 413, "too_large")
    error(client.get("/v1/nothing"), 404, "not_found")
    error(client.get("/v1/recommend"), 405, "method_not_allowed")
    message = error(
        client.post("/v1/sessions/x/events", json={"item": "gone"}), 422, "unknown_item"
    )
    assert "gone" in message


def test_requests_at_the_same_time_are_scored_together(service, client, model):
    histories = [[f"item-{n % 20}", f"item-{(3 * n) % 20}"] for n in range(60)]

    async def ask_all():
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(base_url=service.address, limits=limits, timeout=30) as many:
            calls = [
                many.post("/v1/recommend", json={"history": history, "k": 1 + n % 5})
                for n, history in enumerate(histories)
            ]
            return await asyncio.gather(*calls)

    for n, answer in enumerate(asyncio.run(ask_all())):
        assert answer.status_code == 200
        expected = as_json(model.recommend(histories[n], 1 + n % 5))
        close(answer.json()["recommendations"], expected)
    text = client.get("/metrics").text
    counts = [line for line in text.splitlines() if line.startswith("seqzoo_batch_size_")]
    total = float(next(line for line in counts if "_sum{" in line).split()[-1])
    batches = float(next(line for line in counts if "_count{" in line).split()[-1])
    assert total > batches


def test_a_fault_of_the_service_is_answered_as_every_error(checkpoint, monkeypatch, caplog):
    limits = Limits()
    served = ServedModel(str(checkpoint), limits)

    def fail():
        raise RuntimeError("a bug")

    monkeypatch.setattr(served, "describe", fail)
    app = Service([served], limits, Metrics()).app

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get("/v1/models")

    try:
        message = error(asyncio.run(ask()), 500, "internal")
    finally:
        served.close()
    assert "a bug" not in message
    assert "a bug" in caplog.text


def test_a_model_whose_positions_count_from_the_newest_event_has_no_sessions(tmp_path):
    """Its backbone streams, its embedder does not."""
    model = seqzoo.create(
        "esasrec", num_items=20, hidden_size=8, num_layers=1, position_order="newest"
    )
    assert model.backbone.streaming
    model.save_pretrained(tmp_path / "model")
    limits = Limits()
    served = ServedModel(str(tmp_path / "model"), limits, store=str(tmp_path / "sessions.db"))
    app = Service([served], limits, Metrics()).app

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post("/v1/sessions/ann/events", json={"item": "1"})

    try:
        assert not served.describe()["sessions"]
        message = error(asyncio.run(ask()), 422, "invalid_request")
    finally:
        served.close()
    assert "keeps no state between events, so it has no sessions" in message
