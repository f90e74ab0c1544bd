"""The conformance kit as pytest cases: a class to inherit, with one test for each check."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing.conformance import CHECKS
from seqzoo.testing.run import small_model

__all__ = ["ArchitectureCases"]


class ArchitectureCases:
    """Every check of an architecture as a separate test: ``test_lengths`` and so on.

    Inherit it in a test module and name the architecture; pytest collects the tests::

        class TestConformance(ArchitectureCases):
            architecture = "linrec"
            settings = {"hidden_size": 16}

    Attributes:
        architecture: registered name.
        settings: settings that differ from the architecture's defaults; small sizes are fast.
    """

    architecture: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}


def _test_of(check: Callable[[SequenceModel], None]) -> Callable[[ArchitectureCases], None]:
    def test(self: ArchitectureCases) -> None:
        check(small_model(self.architecture, **self.settings))

    test.__doc__ = check.__doc__
    return test


for _name, _check in CHECKS.items():
    setattr(ArchitectureCases, f"test_{_name.replace(' ', '_')}", _test_of(_check))
