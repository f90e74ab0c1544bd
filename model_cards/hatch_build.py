"""Metadata of the build: the checkpoints require the seqzoo that they were released with."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["SameVersion"]


class SameVersion(MetadataHookInterface):
    """Requires the seqzoo of the same version; ``seqzoo/version.py`` has it for both."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the dependencies."""
        metadata["dependencies"] = [f"seqzoo=={metadata['version']}"]
