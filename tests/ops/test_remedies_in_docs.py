"""The commands that a backend's error advises are the ones that the documentation gives."""

from pathlib import Path

from seqzoo.ops.backends import BACKENDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "backends.md"


def test_the_page_has_the_command_for_the_cuda_packages():
    remedies = {each.remedy for each in BACKENDS if each.name in ("mamba-ssm", "causal-conv1d")}
    (remedy,) = remedies
    page = PAGE.read_text("utf-8")
    assert f"```sh\n{remedy}\n```" in page
    # Without its options the build fails, so nothing else is given.
    assert page.count("seqzoo[cuda]") == 1
