"""What the Hub's client raises, in words for users."""

import errno
import os

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import httpx

from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import hub_errors, redacted
from seqzoo.errors import HubError

ADDRESS = HubAddress("org/shop")


@pytest.mark.parametrize(
    "error",
    [KeyError("id"), TypeError("string indices"), AttributeError("size"), httpx.InvalidURL("port")],
)
def test_an_answer_that_is_not_the_hubs(error):
    said_then = r"unexpected answer from .*; check HF_ENDPOINT"
    with pytest.raises(HubError, match=said_then), hub_errors(ADDRESS):
        raise error


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_written_is_not_told_to_be_fetched(monkeypatch, offline):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    remedy = "unset it" if offline else "try again"
    with pytest.raises(HubError, match=remedy), hub_errors(ADDRESS, "write"):
        raise httpx.ConnectError("refused")


def test_the_password_of_an_endpoint_is_never_shown(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://user:s3cret@proxy.example")
    with pytest.raises(HubError) as raised, hub_errors(ADDRESS):
        raise httpx.ConnectError("no way to http://user:s3cret@proxy.example/api")
    assert "s3cret" not in str(raised.value)
    assert "http://proxy.example" in str(raised.value)
    assert redacted(ValueError("see https://a:b@c/d")) == "see https://c/d"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_reported_with_its_remedy(monkeypatch, number):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/a/cache")
    reason = os.strerror(number)
    said = (
        f"org/shop: the Hub's cache /a/cache cannot be written: {reason}; free some space, or set"
    )
    with pytest.raises(HubError, match=said), hub_errors(ADDRESS):
        raise OSError(number, reason)
