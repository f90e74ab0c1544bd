"""seqzoo: a plugin-based model zoo for sequential recommendation.

``load`` a trained model by name, folder or Hub address, ``create`` a fresh one, ``train``,
``evaluate``, ``compare``, and ``list_models``. Importing seqzoo is fast: torch is imported with the
first model.
"""

import importlib
from typing import TYPE_CHECKING, Any

from seqzoo.version import __version__ as __version__

if TYPE_CHECKING:
    from seqzoo.errors import SeqzooError
    from seqzoo.evaluation.compare import compare as compare
    from seqzoo.evaluation.comparison import Comparison
    from seqzoo.evaluation.evaluate import Evaluation
    from seqzoo.evaluation.evaluate import evaluate as evaluate
    from seqzoo.model.recommendations import Recommendation, Recommendations
    from seqzoo.model.sequence_model import SequenceModel
    from seqzoo.serving.batch.run import BatchResult
    from seqzoo.serving.batch.run import recommend_file as recommend_file
    from seqzoo.serving.batch.tables import recommend_tables as recommend_tables
    from seqzoo.serving.export.write import Exported, export
    from seqzoo.training.loop import TrainingResult, train
    from seqzoo.tuning.result import TuningResult
    from seqzoo.tuning.tune import tune
    from seqzoo.zoo import create, info, list_models, load, push

_HOMES = {
    "BatchResult": "seqzoo.serving.batch.run",
    "Comparison": "seqzoo.evaluation.comparison",
    "Evaluation": "seqzoo.evaluation.evaluate",
    "Exported": "seqzoo.serving.export.write",
    "Recommendation": "seqzoo.model.recommendations",
    "Recommendations": "seqzoo.model.recommendations",
    "SeqzooError": "seqzoo.errors",
    "SequenceModel": "seqzoo.model.sequence_model",
    "TrainingResult": "seqzoo.training.loop",
    "TuningResult": "seqzoo.tuning.result",
    "compare": "seqzoo.evaluation.compare",
    "create": "seqzoo.zoo",
    "evaluate": "seqzoo.evaluation.evaluate",
    "export": "seqzoo.serving.export.write",
    "info": "seqzoo.zoo",
    "list_models": "seqzoo.zoo",
    "load": "seqzoo.zoo",
    "push": "seqzoo.zoo",
    "recommend_file": "seqzoo.serving.batch.run",
    "recommend_tables": "seqzoo.serving.batch.tables",
    "train": "seqzoo.training.loop",
    "tune": "seqzoo.tuning.tune",
}

__all__ = [
    "BatchResult",
    "Comparison",
    "Evaluation",
    "Exported",
    "Recommendation",
    "Recommendations",
    "SequenceModel",
    "SeqzooError",
    "TrainingResult",
    "TuningResult",
    "compare",
    "create",
    "evaluate",
    "export",
    "info",
    "list_models",
    "load",
    "push",
    "recommend_file",
    "recommend_tables",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'seqzoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
