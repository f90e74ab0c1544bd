"""The files that GitHub and citation tools read are valid and agree with the package."""

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

import seqzoo
from tools.lowest_versions import PYTHONS

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/seqzoo/seqzoo"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == seqzoo.__version__
    assert citation["repository-code"] == ADDRESS
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "title", "message", "authors"} <= set(citation)


def test_the_addresses_of_the_project_are_one():
    known = metadata("seqzoo")
    urls = dict(text.split(", ", 1) for text in known.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= set(urls)
    site = urls.pop("Documentation")
    assert all(address.startswith(ADDRESS) for address in urls.values())
    # The address of the repository on GitHub Pages.
    assert site == re.sub(r"https://github.com/(\w+)/(\w+)", r"https://\1.github.io/\2/", ADDRESS)
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert re.findall(r"^(?:site|repo)_url: (.*)$", settings, re.MULTILINE) == [site, ADDRESS]
    assert known["Author"] == "the seqzoo developers"


def test_the_classifiers_name_the_pythons_that_are_checked():
    known = metadata("seqzoo")
    named = [
        classifier.removeprefix("Programming Language :: Python :: ")
        for classifier in known.get_all("Classifier")
        if re.search(r"Python :: 3\.\d+$", classifier)
    ]
    assert tuple(named) == PYTHONS
    assert known["Requires-Python"] == f">={named[0]}"


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_valid(form):
    content = yaml.safe_load(form.read_text("utf-8"))
    if form.stem == "config":
        assert all({"name", "url", "about"} == set(link) for link in content["contact_links"])
        return
    assert {"name", "description", "body"} <= set(content)
    ids = [field["id"] for field in content["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in content["body"])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "SKILL.md"])
def test_links_to_files_of_the_repository_lead_somewhere(name):
    text = (ROOT / name).read_text("utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert all((ROOT / target).exists() for target in targets), targets


def test_links_from_the_site_to_the_repository_lead_somewhere():
    pattern = re.compile(rf"{ADDRESS}/(?:blob|tree)/main/([^)\s\"#]+)")
    for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.ipynb")]:
        for target in pattern.findall(page.read_text("utf-8")):
            assert (ROOT / target).exists(), f"{page.name} links {target}"


def test_scripts_that_the_guides_name_exist():
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "release.md"):
        for script in re.findall(r"python (tools/\w+\.py)", page.read_text("utf-8")):
            assert (ROOT / script).is_file(), f"{page.name} names {script}"
