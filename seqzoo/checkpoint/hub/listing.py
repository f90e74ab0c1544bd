"""Models on the Hub that carry seqzoo's library tag."""

from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi

from seqzoo.checkpoint.hub.address import HubAddress, parse_address
from seqzoo.checkpoint.hub.errors import hub_errors
from seqzoo.errors import UsageError

_TAG = "seqzoo"
_MOST = 500


@dataclass(frozen=True)
class HubModel:
    """A repository that says it holds a checkpoint of seqzoo; nothing of it has been checked.

    Attributes:
        address: repository and its newest commit.
        tags: what its card names, the architecture among them.
        downloads: as the Hub counts them.
        likes: as the Hub counts them.
        private: whether only some may see it.
        last_modified: ISO time, or None.
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
        UsageError: the organisation's name cannot be one.
    """
    try:
        place = parse_address(f"hf://{org or 'all'}/models")
    except UsageError:
        raise UsageError(f"'{org}' is no name of an organisation or user on the Hub") from None
    with hub_errors(place, "list"):
        found = HfApi(library_name="seqzoo").list_models(
            filter=_TAG, author=org, limit=_MOST, full=True
        )
        return [_model(info) for info in found]


def _model(info: Any) -> HubModel:
    modified = info.last_modified
    return HubModel(
        HubAddress(str(info.id), info.sha),
        tuple(str(tag) for tag in info.tags or ()),
        int(info.downloads or 0),
        int(info.likes or 0),
        bool(info.private),
        modified.isoformat() if modified is not None else None,
    )
