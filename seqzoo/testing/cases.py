"""The conformance kit as pytest cases: a class to inherit, with one test for each check."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing import conformance
from seqzoo.testing.run import small_model


class ArchitectureCases:
    """Every check of an architecture as a separate test.

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

    def _check(self, check: Callable[[SequenceModel], None]) -> None:
        check(small_model(self.architecture, **self.settings))

    def test_lengths(self) -> None:
        """Histories of one event, batches of one history, and the shapes of the results."""
        self._check(conformance.check_lengths)

    def test_settings(self) -> None:
        """Parts that share a setting agree on its default; the recipe is valid."""
        self._check(conformance.check_settings)

    def test_claims(self) -> None:
        """The registered capabilities are those of the class, and results agree with them."""
        self._check(conformance.check_claims)

    def test_causality(self) -> None:
        """Later events and timestamps do not change earlier results."""
        self._check(conformance.check_causality)

    def test_padding_invariance(self) -> None:
        """Results do not depend on the amount of padding."""
        self._check(conformance.check_padding_invariance)

    def test_batch_invariance(self) -> None:
        """A history gets the same vector alone and in a batch."""
        self._check(conformance.check_batch_invariance)

    def test_last(self) -> None:
        """``last`` equals ``forward`` at the newest event."""
        self._check(conformance.check_last)

    def test_streaming(self) -> None:
        """Event by event gives the same as the whole sequence."""
        self._check(conformance.check_streaming)

    def test_gradients(self) -> None:
        """Every parameter gets a gradient."""
        self._check(conformance.check_gradients)

    def test_determinism(self) -> None:
        """A fixed seed gives the same model, and two passes the same result."""
        self._check(conformance.check_determinism)

    def test_round_trip(self) -> None:
        """A model that is saved and loaded scores the same."""
        self._check(conformance.check_round_trip)
