"""The kit as ready cases for pytest: a class to inherit, one test for each check."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing import conformance
from seqzoo.testing.run import small_model


class ArchitectureCases:
    """Every check of an architecture as a test of its own.

    Inherit it in a test module, name the architecture, and pytest collects the rest::

        class TestConformance(ArchitectureCases):
            architecture = "linrec"
            settings = {"hidden_size": 16}

    Attributes:
        architecture: registered name.
        settings: what differs from the architecture's defaults; small sizes make quick tests.
    """

    architecture: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    def _check(self, check: Callable[[SequenceModel], None]) -> None:
        check(small_model(self.architecture, **self.settings))

    def test_lengths(self) -> None:
        """Histories of one event, batches of one, and the shapes promised."""
        self._check(conformance.check_lengths)

    def test_settings(self) -> None:
        """No part's default is lost to another's; the recipe can be trained."""
        self._check(conformance.check_settings)

    def test_claims(self) -> None:
        """What was registered is what the class says, and results bear it out."""
        self._check(conformance.check_claims)

    def test_causality(self) -> None:
        """The future changes nothing before it."""
        self._check(conformance.check_causality)

    def test_padding_invariance(self) -> None:
        """How far a batch is padded changes nothing."""
        self._check(conformance.check_padding_invariance)

    def test_batch_invariance(self) -> None:
        """A history gets the same vector alone and among others."""
        self._check(conformance.check_batch_invariance)

    def test_last(self) -> None:
        """``last`` is the gather of ``forward``."""
        self._check(conformance.check_last)

    def test_streaming(self) -> None:
        """Event by event gives what the whole sequence gives."""
        self._check(conformance.check_streaming)

    def test_gradients(self) -> None:
        """Every parameter gets a gradient."""
        self._check(conformance.check_gradients)

    def test_determinism(self) -> None:
        """A seed makes one model, and two passes give the same."""
        self._check(conformance.check_determinism)

    def test_round_trip(self) -> None:
        """Saved and loaded it is the same model."""
        self._check(conformance.check_round_trip)
