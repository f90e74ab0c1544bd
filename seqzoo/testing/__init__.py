"""The conformance kit: checks that a registered part meets its interface, for plugin authors.

``check_registered(name)`` runs every check of everything registered under a name, as ``seqzoo
check NAME`` does. ``ArchitectureCases`` is a class to inherit in a test module, with one test for
each check. The single checks are functions: ``check_model(model)`` and those it calls raise
``ConformanceError`` if a check fails.
"""

from seqzoo.testing.cases import ArchitectureCases
from seqzoo.testing.conformance import (
    CHECKS,
    check_batch_invariance,
    check_capabilities,
    check_causality,
    check_determinism,
    check_gradients,
    check_last,
    check_lengths,
    check_model,
    check_padding_invariance,
    check_round_trip,
    check_settings,
    check_streaming,
)
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.fitting import check_fit
from seqzoo.testing.objectives import check_objective
from seqzoo.testing.parts import (
    check_command,
    check_dataset,
    check_loss,
    check_metric,
    check_protocol,
)
from seqzoo.testing.probes import example_batch
from seqzoo.testing.run import Outcome, check_registered, small_model
from seqzoo.testing.splits import check_list_metric, check_split

check_claims = check_capabilities
"""The earlier name of ``check_capabilities``."""

__all__ = [
    "CHECKS",
    "ArchitectureCases",
    "ConformanceError",
    "Outcome",
    "check_batch_invariance",
    "check_capabilities",
    "check_causality",
    "check_claims",
    "check_command",
    "check_dataset",
    "check_determinism",
    "check_fit",
    "check_gradients",
    "check_last",
    "check_lengths",
    "check_list_metric",
    "check_loss",
    "check_metric",
    "check_model",
    "check_objective",
    "check_padding_invariance",
    "check_protocol",
    "check_registered",
    "check_round_trip",
    "check_settings",
    "check_split",
    "check_streaming",
    "example_batch",
    "small_model",
]
