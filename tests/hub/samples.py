"""What the tests of the local Hub share: a small repository's files and code for the client."""

import hashlib
import json
import struct
import textwrap

CARD = """---
license: apache-2.0
library_name: seqzoo
pipeline_tag: other
tags:
- sequential-recommendation
datasets:
- org/movies
model-index:
- name: tiny
  results:
  - task:
      type: sequential-recommendation
    dataset:
      type: org/movies
      name: Movies
    metrics:
    - type: ndcg@10
      value: 0.25
---
# Tiny
"""


def safetensors(values: int = 4, fill: int = 0) -> bytes:
    header = {"weight": {"dtype": "U8", "shape": [values], "data_offsets": [0, values]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes([fill]) * values


FILES = {
    "README.md": CARD.encode(),
    "config.json": b'{"size": 1}',
    "model.safetensors": safetensors(),
    "notes/one.txt": b"one",
}


def downloading(code: str) -> str:
    """Code that may use ``pull(name, **options)``: a file's sha256 after the client fetched it."""
    return textwrap.dedent(
        """
        import hashlib, os
        from huggingface_hub import hf_hub_download

        def pull(name, **options):
            path = hf_hub_download("org/name", name, **options)
            return hashlib.sha256(open(path, "rb").read()).hexdigest()
        """
    ) + textwrap.dedent(code)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
