"""Untrusted YAML: plain, without tags, anchors, aliases, directives or repeated keys."""

from typing import Any

import yaml

from seqzoo.errors import CheckpointError, one_line
from seqzoo.storage.documents import first_repeated
from seqzoo.storage.messages import RESTORE, shown

__all__ = ["parse_yaml"]

_REFUSED = {
    yaml.TagToken: "a tag",
    yaml.AnchorToken: "an anchor",
    yaml.AliasToken: "an alias",
    yaml.DirectiveToken: "a directive",
}
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def parse_yaml(
    where: object, content: bytes, *, deepest: int = 32, dates: bool = True, remedy: str = RESTORE
) -> Any:
    """Parse plain YAML: without tags, anchors, aliases, directives or repeated keys.

    A few aliases can expand to gigabytes and a tag can create any object; settings need neither.

    Args:
        where: the file or the source, for messages.
        content: its bytes.
        deepest: how deep lists and mappings may nest.
        dates: read dates as such; otherwise as text.
        remedy: the end of the message.

    Raises:
        CheckpointError: it is not such YAML.
    """
    try:
        text = content.decode("utf-8")
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            refused = _REFUSED.get(type(token))
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > deepest:
                refused = f"more than {deepest} levels"
            if refused is not None:
                line = token.start_mark.line + 1
                raise CheckpointError(
                    f"{where} line {line} has {refused}, expected plain YAML; write the values out"
                )
        return yaml.load(text, Loader=_Loader if dates else _LoaderOfText)  # noqa: S506
    # PyYAML lets ValueError and OverflowError through for dates, numbers and characters that do
    # not exist.
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            f"{where} is not plain YAML ({one_line(error, 120)}); {remedy}"
        ) from error


class _Loader(yaml.SafeLoader):
    """Refuses mappings that repeat a key."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := first_repeated(names):
            raise ValueError(f"the key {shown(repeated[0])} occurs more than once")
        return super().construct_mapping(node, deep)


class _LoaderOfText(_Loader):
    """Reads dates as text."""


_LoaderOfText.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
