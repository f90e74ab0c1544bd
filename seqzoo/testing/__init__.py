"""The conformance kit: checks of what a registered part promises, for plugin authors' tests.

``check_registered(name)`` runs every check of whatever has that name, as ``seqzoo check NAME``
does. ``ArchitectureCases`` is a class to inherit in a test module, one test for each check. The
single checks are functions: ``check_model(model)`` and its parts raise ``ConformanceError`` at the
first promise that is not kept.
"""

from seqzoo.testing.cases import ArchitectureCases
from seqzoo.testing.conformance import (
    CHECKS,
    check_batch_invariance,
    check_causality,
    check_claims,
    check_determinism,
    check_gradients,
    check_last,
    check_lengths,
    check_model,
    check_padding_invariance,
    check_round_trip,
    check_settings,
    check_streaming,
    example_batch,
)
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.parts import (
    check_command,
    check_dataset,
    check_loss,
    check_metric,
    check_protocol,
)
from seqzoo.testing.run import Outcome, check_registered, small_model

__all__ = [
    "CHECKS",
    "ArchitectureCases",
    "ConformanceError",
    "Outcome",
    "check_batch_invariance",
    "check_causality",
    "check_claims",
    "check_command",
    "check_dataset",
    "check_determinism",
    "check_gradients",
    "check_last",
    "check_lengths",
    "check_loss",
    "check_metric",
    "check_model",
    "check_padding_invariance",
    "check_protocol",
    "check_registered",
    "check_round_trip",
    "check_settings",
    "check_streaming",
    "example_batch",
    "small_model",
]
