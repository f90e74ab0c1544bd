"""The table that a scan of quantised vectors reads, by the backend that is chosen for it."""

from seqzoo.ops.backends import choose, in_torch, register
from seqzoo.ops.int8 import Int8Table, Quantised
from seqzoo.ops.native.library import REMEDY
from seqzoo.ops.probe import Backend

__all__ = ["int8_table"]


def int8_table(items: Quantised) -> Int8Table:
    """The items in the order that the scan of their device reads.

    Raises:
        BackendUnavailableError: the backend that the environment names does not work.
    """
    make = choose("int8-scan", items.scales.device, None, (items.scales,))
    table: Int8Table = make(items)
    return table


register(
    Backend("int8-scan", "native", "seqzoo.ops.native.int8:NativeInt8Table", ("cpu",), REMEDY),
    in_torch("int8-scan", "seqzoo.ops.int8:TorchInt8Table"),
)
