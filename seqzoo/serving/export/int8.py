"""ONNX files whose weights are quantised to 8 bits."""

import logging
import tempfile
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

__all__ = ["rounded"]


def rounded(content: bytes) -> bytes:
    """An ONNX file with the weights of matrix products and tables in int8.

    Each column of a matrix has its own scale. Activations are quantised when they are computed.
    Weights take 7 of the 8 bits, so that sums do not overflow on processors without VNNI.
    """
    logger = logging.getLogger()
    level = logger.level
    # It advises, on the root logger, to do what the export has done already.
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder, "given.onnx"), Path(folder, "found.onnx")
            given.write_bytes(content)
            quantize_dynamic(
                given,
                found,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                extra_options={"EnableSubgraph": True},
            )
            return found.read_bytes()
    finally:
        logger.setLevel(level)
