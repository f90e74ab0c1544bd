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


def test_the_manifest_for_kubernetes_agrees_with_the_command_and_the_container():
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8")))
    by_kind = {document["kind"]: document for document in documents}
    pod = by_kind["StatefulSet"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    described = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    options = [word for word in container["args"] if word.startswith("--")]
    assert all(f"{option} " in described for option in options)
    drain = float(container["args"][container["args"].index("--drain") + 1])
    remaining = 21  # seconds of timeout_graceful_shutdown with the default --timeout
    assert pod["spec"]["terminationGracePeriodSeconds"] > drain + remaining + 10
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert environment["OMP_NUM_THREADS"] == container["resources"]["limits"]["cpu"]
    assert "SEQZOO_TOKEN" in environment
    (port,) = container["ports"]
    recipe = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
    assert f"EXPOSE {port['containerPort']}" in recipe
    mounted = {each["name"] for each in container["volumeMounts"]}
    own = {
        each["metadata"]["name"] for each in by_kind["StatefulSet"]["spec"]["volumeClaimTemplates"]
    }
    assert mounted == own | {each["name"] for each in pod["spec"]["volumes"]}
    labels = pod["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
