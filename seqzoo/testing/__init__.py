"""The conformance kit: checks of what a registered part promises, for plugin authors' tests.

``check_model(model)`` runs every check that applies and raises at the first promise that is not
kept; the single checks are functions of their own.
"""

from seqzoo.testing.conformance import (
    CHECKS,
    ConformanceError,
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
    check_streaming,
    example_batch,
)

__all__ = [
    "CHECKS",
    "ConformanceError",
    "check_batch_invariance",
    "check_causality",
    "check_claims",
    "check_determinism",
    "check_gradients",
    "check_last",
    "check_lengths",
    "check_model",
    "check_padding_invariance",
    "check_round_trip",
    "check_streaming",
    "example_batch",
]
