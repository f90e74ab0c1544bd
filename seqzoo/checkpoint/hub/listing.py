"""Models on the Hub that carry seqzoo's library tag."""

from dataclasses import dataclass

from seqzoo.checkpoint.hub import api
from seqzoo.checkpoint.hub.address import HubAddress, parse_address
from seqzoo.checkpoint.hub.errors import hub_errors
from seqzoo.errors import UsageError

__all__ = ["HubModel", "list_hub"]

_TAG = "seqzoo"
_MOST = 500


@dataclass(frozen=True)
class HubModel:
    """A repository that is tagged as a checkpoint of seqzoo; unverified until it is pulled.

    Attributes:
        address: repository and its newest commit.
        tags: the tags of its card, the architecture among them.
        downloads: number counted by the Hub.
        likes: number counted by the Hub.
        private: whether it is visible only to its owners.
        last_modified: time in ISO format, or None.
    """

    address: HubAddress
    tags: tuple[str, ...]
    downloads: int
    likes: int
    private: bool
    last_modified: str | None


def list_hub(org: str | None = None) -> list[HubModel]:
    """The models of everyone, or of one organisation or user.

    Raises:
        HubError: the Hub cannot be reached.
        UsageError: the name cannot be that of an organisation or user.
    """
    try:
        address = parse_address(f"hf://{org or 'all'}/models")
    except UsageError:
        raise UsageError(f"'{org}' cannot be an organisation or user on the Hub") from None
    with hub_errors(address, "list"):
        found = api.list_models(_TAG, org, _MOST)
    return [
        HubModel(
            HubAddress(model.id, model.sha),
            tuple(model.tags),
            model.downloads or 0,
            model.likes or 0,
            model.private,
            model.last_modified,
        )
        for model in found
    ]
