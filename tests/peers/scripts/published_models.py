"""The published classes of Mamba4Rec and TiM4Rec, on mamba-ssm's own code without CUDA.

RecBole's base class is replaced by what the two classes use of it. CUDA kernels are replaced by the
reference functions of the same package. Triton kernels run in Triton's interpreter.
"""

import sys
import types
from typing import Any

import numpy as np
import torch
from exchange import Arrays, serve
from torch import Tensor, nn
from without_cuda import prepare


class SequentialRecommender(nn.Module):
    """The part of RecBole's class that the published classes use."""

    ITEM_SEQ, ITEM_SEQ_LEN, POS_ITEM_ID = "item_id_list", "item_length", "item_id"

    def __init__(self, config: dict[str, Any], dataset: None) -> None:
        super().__init__()
        self.n_items, self.max_seq_length = config["n_items"], config["max_seq_length"]

    def gather_indexes(self, output: Tensor, index: Tensor) -> Tensor:
        """One position of each row: [B, L, D], [B] -> [B, D]."""
        return output[torch.arange(len(output)), index]


def stand_in_for_recbole() -> None:
    """Make the modules that the published files import."""
    contents = {
        "recbole": {},
        "recbole.model": {},
        "recbole.model.abstract_recommender": {"SequentialRecommender": SequentialRecommender},
        "recbole.model.loss": {"BPRLoss": None},
    }
    for name, names in contents.items():
        module = types.ModuleType(name)
        vars(module).update(names)
        sys.modules[name] = module


def results(model: nn.Module, given: Arrays, noise: float) -> Arrays:
    """Weights with noise, scores, loss, and its gradients, with dropout switched off."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn(parameter.shape, generator=generator)
    model.eval()
    batch = {name: torch.from_numpy(array) for name, array in given.items()}
    with torch.no_grad():
        answer = {"scores": model.full_sort_predict(batch)}
    answer["loss"] = model.calculate_loss(batch)
    answer["loss"].backward()
    for name, parameter in model.named_parameters():
        answer[f"weight {name}"] = parameter
        # The last layer of TiM4Rec has parameters that nothing depends on.
        if parameter.grad is not None:
            answer[f"gradient {name}"] = parameter.grad
    return {name: value.detach().numpy().astype(np.float32) for name, value in answer.items()}


def mamba4rec(given: Arrays, folder: str, config: dict[str, Any]) -> Arrays:
    """``Mamba4Rec`` with ``selective_scan_ref``."""
    from mamba_ssm.modules import mamba_simple
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    mamba_simple.selective_scan_fn = selective_scan_ref
    mamba_simple.causal_conv1d_fn = None
    sys.modules["mamba_ssm"].Mamba = mamba_simple.Mamba
    sys.path.insert(0, folder)
    from mamba4rec import Mamba4Rec

    torch.manual_seed(0)
    model = Mamba4Rec(config, None)
    for layer in model.mamba_layers:
        layer.mamba.use_fast_path = False
    return results(model, given, 0.1)


def tim4rec(given: Arrays, folder: str, config: dict[str, Any]) -> Arrays:
    """``TiM4Rec`` with the Triton kernels of SSD and of the gated norm."""
    sys.path.insert(0, folder)
    import ssd
    from causal_conv1d.causal_conv1d_interface import causal_conv1d_ref
    from tim4rec import TiM4Rec

    ssd.causal_conv1d_fn = causal_conv1d_ref
    torch.manual_seed(0)
    # Enough for scores to depend on the time branch.
    return results(TiM4Rec(config, None), given, 0.2)


if __name__ == "__main__":
    prepare()
    stand_in_for_recbole()
    serve({"mamba4rec": mamba4rec, "tim4rec": tim4rec})
