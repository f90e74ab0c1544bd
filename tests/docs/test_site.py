"""The documentation site builds without a warning, needs no network, and shows its equations."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EQUATION = re.compile(r"\$\$.*?\$\$|(?<![\w$`])\$[^$\n`]+\$", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(html.parser.HTMLParser):
    """What a browser fetches for a page without being asked."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(given.get("src"))
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.addresses.append(given.get("href"))


def html_pages(site):
    found = sorted(site.rglob("*.html"))
    assert len(found) > 20
    return found


def test_pages_load_nothing_from_other_addresses(site):
    for page in html_pages(site):
        loaded = Loaded()
        loaded.feed(page.read_text("utf-8"))
        assert loaded.addresses
        outside = [a for a in loaded.addresses if a and re.match(r"(\w+:)?//", a)]
        assert not outside, f"{page.relative_to(site)} loads {outside}"
        # With this mark the theme's script asks GitHub about the repository.
        assert 'data-md-component="source"' not in page.read_text("utf-8")
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text("utf-8"))


def test_every_equation_is_mathml(site):
    for source in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"```.*?```", "", source.read_text("utf-8"), flags=re.DOTALL)
        wanted = len(EQUATION.findall(text))
        built = (site / source.relative_to(ROOT / "docs").with_suffix(".html")).read_text("utf-8")
        assert built.count("<math") == wanted, source.name
        assert "arithmatex" not in built
        # A command that the converter does not know stays as it was written.
        assert not re.findall(r"<m[io]>\\", built), source.name


def test_every_architecture_has_its_equations_and_sources():
    pages = {page.stem: page for page in (ROOT / "docs" / "architectures").glob("*.md")}
    folders = (ROOT / "plugins").glob("seqzoo_*")
    plugins = {folder.name.removeprefix("seqzoo_").replace("_", "-") for folder in folders}
    assert pages.keys() == plugins | {"index"}
    for name, page in pages.items():
        text = page.read_text("utf-8")
        assert "$$" in text, name
        # The papers of the baselines are older than preprints of this field: they have a DOI only.
        address = "https://doi.org/10." if name == "baselines" else "https://arxiv.org/abs/"
        assert address in text, name


def test_the_reference_has_the_public_names(site):
    import seqzoo
    import seqzoo.testing

    top = (site / "reference" / "seqzoo.html").read_text("utf-8")
    for name in seqzoo.__all__:
        assert f'id="seqzoo.{name}"' in top, name
    kit = (site / "reference" / "testing.html").read_text("utf-8")
    for name in seqzoo.testing.__all__:
        assert f'id="seqzoo.testing.{name}"' in kit, name


def test_the_hook_converts_what_is_marked(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from docs_equations import on_page_content

    inline = on_page_content(r'<p>a <span class="arithmatex">\(x &lt; y\)</span></p>')
    assert inline.startswith("<p>a <math")
    assert "<mo>&#x0003C;</mo>" in inline
    block = on_page_content('<div class="arithmatex">\\[\nx_1\n\\]</div>')
    assert '<div class="equation"><math' in block
    assert 'display="block"' in block


def test_the_path_of_this_machine_is_not_on_the_pages(site):
    for page in html_pages(site):
        assert str(Path(ROOT)) not in page.read_text("utf-8"), page
