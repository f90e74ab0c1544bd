"""The local Hub and the folder of installed plugins, which other tests made."""

import os

import pytest

from tests.core.conftest import hook as hook
from tests.core.conftest import install as install
from tests.core.conftest import site as site
from tests.hub.conftest import emptied_hub as emptied_hub
from tests.hub.conftest import folder as folder
from tests.hub.conftest import push as push
from tests.hub.conftest import server as server
from tests.hub.conftest import work as work


@pytest.fixture
def cases() -> int:
    """How many cases a test of this folder runs; ``SEQZOO_CASES`` asks for more."""
    return int(os.environ.get("SEQZOO_CASES", "0"))
