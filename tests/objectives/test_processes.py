"""Under several processes a contrastive term covers the rows of all, with the right gradients."""

import os
import socket
import subprocess
import sys

import torch

from seqzoo.objectives import info_nce

WORKER = """
import sys, torch
from torch import distributed
from seqzoo.objectives import info_nce
from seqzoo.objectives.contrast import of_all_processes

distributed.init_process_group("gloo")
rank = distributed.get_rank()
given = torch.load(sys.argv[1], weights_only=True)
weight = given["weight"].requires_grad_()
# Every second row, as training shares a batch; the third process has none.
rows = slice(0, 0) if rank == 2 else slice(rank, None, 2)
one, other = ((given[name][rows] @ weight) for name in ("one", "other"))
loss = info_nce(of_all_processes(one), of_all_processes(other), 0.5)
loss.backward()
# As DistributedDataParallel does.
distributed.all_reduce(weight.grad)
if rank == 0:
    torch.save({"loss": loss.detach(), "gradient": weight.grad / 3}, sys.argv[2])
distributed.destroy_process_group()
"""


def test_the_rows_of_all_processes_are_negatives(tmp_path):
    torch.manual_seed(0)
    given = {name: torch.randn(5, 4) for name in ("one", "other")}
    given["weight"] = torch.randn(4, 4)
    torch.save(given, tmp_path / "given.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "given.pt"), str(tmp_path / "found.pt")],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": "3",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
        )
        for rank in range(3)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    weight = given["weight"].clone().requires_grad_()
    expected = info_nce(given["one"] @ weight, given["other"] @ weight, 0.5)
    expected.backward()
    torch.testing.assert_close(found["loss"], expected.detach())
    torch.testing.assert_close(found["gradient"], weight.grad)
