"""Build the model that a checkpoint describes, without believing the sizes it asks for.

Settings come from outside: a width of a million or a billion layers would fill the memory long
before any tensor is compared. So the model is first built without memory, on the meta device, and
building stops where it asks for far more numbers than the weights hold.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from seqzoo.checkpoint.manifest import CONFIG, WEIGHTS, Manifest
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, SeqzooError
from seqzoo.model import SequenceModel, build_model

_SLACK = 1 << 20
_LARGEST_BUFFERS = 1 << 28


class _TooLarge(BaseException):
    """Stops building. Not an ``Exception``, so that no part can take it for one of its own."""


def build_empty(
    manifest: Manifest, vocabulary: Vocabulary, weights: Mapping[str, Tensor]
) -> SequenceModel:
    """The model of a manifest with fresh weights, which leaves torch's random generator alone.

    Args:
        manifest: names the architecture and its settings.
        vocabulary: the items.
        weights: what it will take; their number bounds that of its parameters.

    Raises:
        CheckpointError: the settings are refused, or ask for a model far larger than the weights.
    """
    most = 2 * sum(tensor.numel() for tensor in weights.values()) + _SLACK

    def build() -> SequenceModel:
        with _bounded(most):
            return build_model(manifest.architecture, manifest.config, vocabulary)

    path = manifest.folder / CONFIG
    try:
        # Some parts need real numbers while they are made; those show below what is wrong.
        with torch.random.fork_rng(devices=[]):
            with suppress(Exception), torch.device("meta"):
                build()
            return build()
    except _TooLarge:
        raise CheckpointError(
            f"{path} has settings for a model far larger than {WEIGHTS} holds; the files do not "
            "belong together, fetch the checkpoint again"
        ) from None
    # A part is foreign code: whatever it raises, the checkpoint is what cannot be loaded.
    except Exception as error:
        text = str(error) if isinstance(error, SeqzooError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{path}: '{manifest.architecture}' cannot be built from its settings: "
            f"{' '.join(text.split()).rstrip('.')}; {reinstall(manifest)}"
        ) from error


def reinstall(manifest: Manifest) -> str:
    """The remedy where the plugin here and the one that saved the checkpoint differ."""
    plugin = manifest.plugin
    return (
        f"it was saved with {plugin['distribution']} {plugin['version']}, "
        f"pip install '{plugin['distribution']}=={plugin['version']}'"
    )


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Stop this thread's building of modules once they have too many numbers."""
    thread = threading.get_ident()
    parameters = buffers = 0

    def count_parameter(_module: nn.Module, _name: str, value: Tensor | None) -> None:
        nonlocal parameters
        if value is not None and threading.get_ident() == thread:
            parameters += value.numel()
            if parameters > most:
                raise _TooLarge

    def count_buffer(_module: nn.Module, _name: str, value: Tensor | None) -> None:
        nonlocal buffers
        if value is not None and threading.get_ident() == thread:
            buffers += value.numel()
            if buffers > most + _LARGEST_BUFFERS:
                raise _TooLarge

    handles = [
        hooks.register_module_parameter_registration_hook(count_parameter),
        hooks.register_module_buffer_registration_hook(count_buffer),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
