"""How a script of this folder gets its arrays and hands its results back.

The scripts run in the environments of the peers, without pytest and mostly without seqzoo:
``python SCRIPT FUNCTION SETTINGS GIVEN RESULT``, with the settings as JSON and arrays as ``.npz``.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def serve(functions: Mapping[str, Callable[..., Arrays]]) -> None:
    """Call the function that the command line names and write what it returns."""
    _, name, settings, given, result = sys.argv
    options: dict[str, Any] = json.loads(settings)
    with np.load(given, allow_pickle=False) as arrays:
        answer = functions[name](dict(arrays), **options)
    np.savez(result, **answer)
