"""The page at ``/`` in a real browser, with models of MovieLens-1M."""

from itertools import pairwise

import pytest

from seqzoo.model.sequence_model import SequenceModel
from tests.samples import make_model
from tests.serving.conftest import start

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

MODELS = ("mamba4rec-ml1m", "sasrec-ml1m", "narm-ml1m")
WIDTHS = (360, 800, 1400)


@pytest.fixture(scope="module")
def films():
    running = start(*MODELS, "tim4rec-ml1m")
    yield running
    running.stop()
    running.process.stdout.close()
    running.log.unlink()


def ready(page):
    page.wait_for_selector("body[data-ready]")
    return page


def lists(page):
    """The titles that each model shows, when all have answered."""
    expect(page.locator(".model[aria-busy=true]")).to_have_count(0)
    return [
        column.locator(".ranking .item").all_inner_texts()
        for column in page.locator(".model").all()
    ]


def history(page):
    return page.locator("#history li > span").all_inner_texts()


def test_three_films_change_three_lists_and_come_back_by_address(films, open_page):
    page = ready(open_page(films.address))
    seen = [lists(page)]
    assert seen[0] == [[], [], []]
    for words, title in (
        ("star wars new hope", "Star Wars: Episode IV - A New Hope (1977)"),
        ("the matrix", "Matrix, The (1999)"),
        ("toy story", "Toy Story (1995)"),
    ):
        page.click("#search")
        page.keyboard.type(words)
        page.click(f"#found >> text={title}")
        assert history(page)[-1] == title
        seen.append(lists(page))
    for before, after in pairwise(seen):
        assert all(len(titles) == 10 for titles in after)
        assert all(one != other for one, other in zip(before, after, strict=True))
    assert len({tuple(titles) for titles in seen[-1]}) == 3
    body = {"history": ["260", "2571", "1"], "k": 10}
    with films.client() as client:
        for name, shown in zip(MODELS, seen[-1], strict=True):
            answer = client.post("/v1/recommend", json={"model": name, **body}).json()
            assert [each["label"] for each in answer["recommendations"]] == shown

    other = ready(open_page(page.url))
    assert (history(other), lists(other)) == (history(page), seen[-1])
    other.reload()
    assert (history(ready(other)), lists(other)) == (history(page), seen[-1])
    page.go_back()
    expect(page.locator("#history li")).to_have_count(2)
    assert lists(page) == seen[-2]


def test_why_an_item_is_there(films, open_page):
    page = ready(open_page(f"{films.address}/#item=260&item=1&model=sasrec-ml1m&model=narm-ml1m"))
    first = lists(page)[0][0]
    page.click(f"[aria-label='Why {first}?'] >> nth=0")
    reasons = page.locator(".reasons:visible")
    reasons.locator("h3").first.wait_for()
    text = reasons.inner_text()
    assert "Star Wars: Episode IV - A New Hope (1977)" in text
    assert "rank 1, " in text
    assert "narm-ml1m" in text


def test_everything_by_keyboard(films, open_page):
    page = ready(open_page(films.address))
    press = page.keyboard.press
    press("/")
    page.keyboard.type("godfather")
    page.wait_for_selector("#found-1")
    second = page.locator("#found-1 span").inner_text()
    press("ArrowUp")
    press("ArrowDown")
    press("ArrowDown")
    press("Enter")
    assert history(page) == [second]
    page.keyboard.type("godfather")
    page.wait_for_selector("#found-1")
    press("Enter")
    assert history(page) == [second, "Godfather, The (1972)"]
    assert page.evaluate("document.activeElement.id") == "search"
    page.focus("#history button >> nth=0")
    press("Enter")
    assert history(page) == ["Godfather, The (1972)"]
    before = lists(page)
    press("/")
    page.keyboard.type("alien")
    page.wait_for_selector("#found-0")
    press("Escape")
    assert page.locator("#found").is_hidden()
    page.fill("#search", "")
    # On to the first recommendation, and add it.
    page.focus(".ranking .item >> nth=0")
    press("Enter")
    assert history(page) == ["Godfather, The (1972)", before[0][0]]
    assert lists(page) != before
    assert page.evaluate("document.activeElement.className") == "item"
    press("Tab")
    press("Enter")
    page.wait_for_selector(".reasons h3")
    page.focus("#history button >> nth=0")
    press("Enter")
    assert history(page) == [before[0][0]]
    page.focus("#clear")
    press("Enter")
    assert lists(page) == [[], [], []]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_at_a_width(films, open_page, width, tmp_path):
    """And a picture to look at: ``pytest --basetemp=pictures``."""
    page = ready(open_page(f"{films.address}/#item=260&item=2571&item=1", width))
    lists(page)
    page.click("text=Why? >> nth=0")
    page.wait_for_selector(".reasons h3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lefts = page.evaluate("[...document.querySelectorAll('.model')].map(m => m.offsetLeft)")
    assert len(set(lefts)) == (1 if width < 700 else 3)
    page.screenshot(path=tmp_path / f"{width}.png", full_page=True)


def test_models_are_chosen_added_and_removed(films, open_page):
    page = ready(open_page(f"{films.address}/#item=260&model=sasrec-ml1m"))
    page.click("#add-model")
    page.select_option("[aria-label=Model] >> nth=1", "tim4rec-ml1m")
    assert [len(each) for each in lists(page)] == [10, 10]
    assert page.url.endswith("#model=sasrec-ml1m&model=tim4rec-ml1m&item=260")
    page.click("[aria-label='Remove the model sasrec-ml1m']")
    assert len(lists(page)) == 1
    assert page.url.endswith("#model=tim4rec-ml1m&item=260")


def test_an_address_with_unknown_names(films, open_page):
    page = ready(open_page(f"{films.address}/#item=%3Cimg src=x onerror=alert(1)%3E&model=gone"))
    assert history(page) == ["<img src=x onerror=alert(1)>"]
    assert lists(page) == [[], [], []]
    assert "knows no item" in page.locator(".model").first.inner_text()


def test_titles_are_text_and_a_token_is_asked_for(serve, open_page, tmp_path):
    title = "<img src=x onerror=\"document.title='run'\"><b>Bold</b>"
    model: SequenceModel = make_model()
    vocabulary = model.vocabulary
    labels = [title, *vocabulary.labels[1:]]
    model.vocabulary = type(vocabulary)(vocabulary.items, labels, range(20, 0, -1))
    model.save_pretrained(tmp_path / "hostile")
    running = serve(f"hostile={tmp_path / 'hostile'}", SEQZOO_TOKEN="secret-token")
    page = open_page(running.address)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-message")).to_contain_text("token")
    page.fill("#token", "secret-token")
    page.click("text=Use the token")
    ready(page)
    page.click("#popular button >> nth=0")
    assert history(page) == [title]
    assert page.locator("main img, main b").count() == 0
    assert page.title() != "run"
    # Only the refusals of the token were logged.
    assert all("401" in each for each in open_page.trouble)
    open_page.trouble.clear()
