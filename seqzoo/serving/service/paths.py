"""User ids in addresses: any text, with slashes and line breaks."""

from starlette.convertors import Convertor, register_url_convertor

__all__ = ["USER", "shown"]

USER = "{user:seqzoo_user}"
"""The part of a route that is the id of a user."""


class _User(Convertor[str]):
    # Starlette's `path` takes no line break, and takes the id before one at the end for the user.
    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The id, as it is in the address."""
        return value

    def to_string(self, value: str) -> str:
        """The address, as it is in the id."""
        return value


register_url_convertor("seqzoo_user", _User())


def shown(route: str) -> str:
    """A route as it is documented: ``/v1/sessions/{user}``."""
    return route.replace(USER, "{user}")
