"""The small checkpoint of the checkpoint tests."""

from tests.checkpoint.conftest import _pristine as _pristine
from tests.checkpoint.conftest import _refused as _refused
from tests.checkpoint.conftest import folder as folder
from tests.checkpoint.conftest import model as model
from tests.checkpoint.conftest import refused as refused
