"""Errors of the Hub in one line, without the user's token."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, errors, get_token
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.errors import HubError, one_line

__all__ = ["hub_errors", "not_reached", "redacted"]

_TOKEN = re.compile(r"hf_[A-Za-z0-9_-]+")
_USER = re.compile(r"//[^/@]*@")
_LOGIN = "log in with `hf auth login` or set HF_TOKEN"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def hub_errors(address: HubAddress, action: str = "read") -> Iterator[None]:
    """Turn the exceptions of the Hub's client into a ``HubError``.

    Args:
        address: the repository, for messages.
        action: ``read``, ``write`` or ``list``, for the remedy.
    """
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{address} is gated: ask for access on its page on the Hub, then {_LOGIN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"there is no repository {address.repo} on the Hub, or it is private; check the name "
            f"with `seqzoo list --hub`, or {_LOGIN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"{address}: the repository {address.repo} has no such revision; give a commit, a tag "
            "or a branch that it has, or none for its main branch"
        ) from error
    # Before EntryNotFoundError, its base class: here the cache has no such file.
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise not_reached(address, error, action) from error
    except errors.EntryNotFoundError as error:
        raise HubError(
            f"{address} is not a checkpoint of seqzoo: {redacted(error)}; `seqzoo list --hub` "
            "shows the checkpoints on the Hub"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refused(address, action, error) from error
    except httpx.HTTPError as error:
        raise not_reached(address, error, action) from error
    # A body of the wrong length, a full disk, a repository name that the client refuses.
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise HubError(
                f"{address}: the Hub's cache {constants.HF_HUB_CACHE} cannot be written: "
                f"{error.strerror}; free some space, or set HF_HOME to another folder"
            ) from error
        raise HubError(f"{address}: {redacted(error)}; try again") from error
    # The client has read a response that is not the Hub's, such as the page of a proxy.
    except (LookupError, TypeError, AttributeError, RecursionError, httpx.InvalidURL) as error:
        raise HubError(
            f"{address}: unexpected answer from {_endpoint()} "
            f"({type(error).__name__}: {redacted(error)}); check HF_ENDPOINT"
        ) from error
    # The client wraps every error that stops the upload of a file.
    except RuntimeError as error:
        if isinstance(error.__cause__, Exception):
            with hub_errors(address, action):
                raise error.__cause__ from None
        raise HubError(f"{address}: {redacted(error)}; try again") from error


def _endpoint() -> str:
    """The address of the Hub, without the user and password that a proxy may need."""
    return _USER.sub("//", constants.ENDPOINT)


def not_reached(address: HubAddress, error: Exception, action: str = "read") -> HubError:
    """The error for a Hub that cannot be reached, and a cache that lacks the file."""
    if action == "list" and constants.HF_HUB_OFFLINE:
        return HubError(
            "the Hub's models cannot be listed while HF_HUB_OFFLINE is set; unset it, or see the "
            "registered ones with `seqzoo list`"
        )
    if action == "list":
        return HubError(
            f"the Hub's models cannot be listed: {_endpoint()} cannot be reached "
            f"({redacted(error)}); try again, or see the registered ones with `seqzoo list`"
        )
    if action == "write" and constants.HF_HUB_OFFLINE:
        return HubError(f"{address} cannot be written to while HF_HUB_OFFLINE is set; unset it")
    if action == "write":
        return HubError(
            f"{address}: the Hub at {_endpoint()} cannot be reached ({redacted(error)}); nothing "
            "more was written; try again"
        )

    if constants.HF_HUB_OFFLINE:
        return HubError(
            f"{address} is not complete in the local cache {constants.HF_HUB_CACHE}, and "
            "HF_HUB_OFFLINE is set; unset it and run `seqzoo pull` with a network connection"
        )
    return HubError(
        f"{address}: the Hub at {_endpoint()} cannot be reached ({redacted(error)}); try again, "
        "or set HF_HUB_OFFLINE=1 to use only the local cache"
    )


def redacted(error: object) -> str:
    """The message of an error, or an address, in one line and without tokens and passwords."""
    text = one_line(error) or type(error).__name__
    token = get_token()
    if token:
        text = text.replace(token, "hf_…")
    text = _USER.sub("//", _TOKEN.sub("hf_…", text))
    return text if len(text) <= 240 else text[:237] + "..."


def _refused(address: HubAddress, action: str, error: errors.HfHubHTTPError) -> HubError:
    status = error.response.status_code if error.response is not None else None
    if status in (401, 403):
        what = "written to" if action == "write" else "read"
        return HubError(f"{address} cannot be {what} with this token; {_LOGIN}")
    if status == 412:
        return HubError(f"{address} has changed in the meantime: nothing was written; push again")
    if status == 429:
        return HubError(f"{address}: the Hub asks to wait (429 Too Many Requests); try again later")
    return HubError(f"{address}: the Hub answers {redacted(error)}; try again")
