"""Import of state dicts that have the names of the public implementations."""

import json
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from seqzoo.cli.app import run
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, ConfigError, DataError, UnknownNameError, UsageError
from seqzoo.model.import_weights import import_weights, read_vocabulary_file
from seqzoo.plugins import catalogue

D, ITEMS, L = 8, 5, 12
IDS = ("a1", "b2", "c3", "d4", "e5")

# Public name: where it goes, its shape. One layer each; a second one of SASRec and TiM4Rec.
SASREC = {
    "item_embedding.weight": ("embedder.item_table", (ITEMS + 1, D)),
    "position_embedding.weight": ("embedder.position_table", (L, D)),
    "LayerNorm.weight": ("embedder.norm.weight", (D,)),
    "LayerNorm.bias": ("embedder.norm.bias", (D,)),
}
for layer in range(2):
    theirs, ours = f"trm_encoder.layer.{layer}", f"backbone.layers.{layer}"
    for name in ("query", "key", "value", "dense"):
        SASREC[f"{theirs}.multi_head_attention.{name}.weight"] = (
            f"{ours}.attention.{name}.weight",
            (D, D),
        )
        SASREC[f"{theirs}.multi_head_attention.{name}.bias"] = (
            f"{ours}.attention.{name}.bias",
            (D,),
        )
    for part, own in (("multi_head_attention", "attention"), ("feed_forward", "feed_forward")):
        for value in ("weight", "bias"):
            SASREC[f"{theirs}.{part}.LayerNorm.{value}"] = (f"{ours}.{own}.norm.{value}", (D,))
    for name, shape in (("dense_1", (24, D)), ("dense_2", (D, 24))):
        feed = f"{theirs}.feed_forward.{name}"
        SASREC[f"{feed}.weight"] = (f"{ours}.feed_forward.{name}.weight", shape)
        SASREC[f"{feed}.bias"] = (f"{ours}.feed_forward.{name}.bias", shape[:1])

_MAMBA = {
    "in_proj.weight": (32, D),
    "conv1d.weight": (16, 1, 4),
    "conv1d.bias": (16,),
    "x_proj.weight": (1 + 2 * 6, 16),
    "dt_proj.weight": (16, 1),
    "dt_proj.bias": (16,),
    "A_log": (16, 6),
    "D": (16,),
    "out_proj.weight": (D, 16),
}
MAMBA4REC = {
    "item_embedding.weight": ("embedder.item_table", (ITEMS + 1, D)),
    "LayerNorm.weight": ("embedder.norm.weight", (D,)),
    "LayerNorm.bias": ("embedder.norm.bias", (D,)),
    "mamba_layers.0.LayerNorm.weight": ("backbone.layers.0.norm.weight", (D,)),
    "mamba_layers.0.LayerNorm.bias": ("backbone.layers.0.norm.bias", (D,)),
    "mamba_layers.0.ffn.w_1.weight": ("backbone.layers.0.ffn.w_1.weight", (4 * D, D)),
    "mamba_layers.0.ffn.w_1.bias": ("backbone.layers.0.ffn.w_1.bias", (4 * D,)),
    "mamba_layers.0.ffn.w_2.weight": ("backbone.layers.0.ffn.w_2.weight", (D, 4 * D)),
    "mamba_layers.0.ffn.w_2.bias": ("backbone.layers.0.ffn.w_2.bias", (D,)),
    "mamba_layers.0.ffn.LayerNorm.weight": ("backbone.layers.0.ffn.norm.weight", (D,)),
    "mamba_layers.0.ffn.LayerNorm.bias": ("backbone.layers.0.ffn.norm.bias", (D,)),
} | {
    f"mamba_layers.0.mamba.{name}": (f"backbone.layers.0.mamba.{name}", shape)
    for name, shape in _MAMBA.items()
}

H, N = 4, 6
_SSD = {
    "ssd.in_proj.weight": (32 + 2 * N + H, D),
    "ssd.in_proj.bias": (32 + 2 * N + H,),
    "ssd.conv1d.weight": (16 + 2 * N, 1, 4),
    "ssd.conv1d.bias": (16 + 2 * N,),
    "ssd.dt_bias": (H,),
    "ssd.A_log": (H,),
    "ssd.D": (H,),
    "ssd.norm.weight": (16,),
    "ssd.out_proj.weight": (D, 16),
    "ssd.out_proj.bias": (D,),
    "layer_norm.weight": (D,),
    "layer_norm.bias": (D,),
    "ffn.fc1.weight": (4 * D, D),
    "ffn.fc1.bias": (4 * D,),
    "ffn.fc2.weight": (D, 4 * D),
    "ffn.fc2.bias": (D,),
    "ffn.layer_norm.weight": (D,),
    "ffn.layer_norm.bias": (D,),
}
_TIMES = {
    "ssd.conv1d4time_1.weight": (H, 1, 4),
    "ssd.conv1d4time_1.bias": (H,),
    "ssd.conv1d4time_2.weight": (H, 1, 4),
    "ssd.conv1d4time_2.bias": (H,),
    "ssd.mlp4time_scale.1.weight": (L, L),
    "ssd.mlp4time_scale.1.bias": (L,),
    "ssd.mlp4time_scale.3.weight": (L, L),
    "ssd.mlp4time_scale.3.bias": (L,),
}
_PASSED_ON = {
    "ssd.time_gate_residual.1.weight": (1, L),
    "ssd.time_gate_residual.1.bias": (1,),
    "ssd.time_layer_norm.weight": (L,),
    "ssd.time_layer_norm.bias": (L,),
}
SSD4REC = {
    "item_embedding.weight": ("embedder.item_table", (ITEMS + 1, D)),
    "in_layer_norm.weight": ("embedder.norm.weight", (D,)),
    "in_layer_norm.bias": ("embedder.norm.bias", (D,)),
} | {
    f"ssd_layers.{layer}.{name}": (f"backbone.ssd_layers.{layer}.{name}", shape)
    for layer in range(2)
    for name, shape in _SSD.items()
}
TIM4REC = (
    SSD4REC
    | {
        "layer_norm_time.weight": ("backbone.layer_norm_time.weight", (L,)),
        "layer_norm_time.bias": ("backbone.layer_norm_time.bias", (L,)),
    }
    | {
        f"ssd_layers.{layer}.{name}": (f"backbone.ssd_layers.{layer}.{name}", shape)
        for layer in range(2)
        for name, shape in {**_TIMES, **(_PASSED_ON if layer == 0 else {})}.items()
    }
    # The released code has these in the last layer too, where nothing reads them.
    | {f"ssd_layers.1.{name}": (None, shape) for name, shape in _PASSED_ON.items()}
)
GRU4REC = {
    "item_embedding.weight": ("embedder.item_table", (ITEMS + 1, D)),
    "gru_layers.weight_ih_l0": ("backbone.gru_layers.weight_ih_l0", (3 * 12, D)),
    "gru_layers.weight_hh_l0": ("backbone.gru_layers.weight_hh_l0", (3 * 12, 12)),
    "gru_layers.weight_ih_l1": ("backbone.gru_layers.weight_ih_l1", (3 * 12, 12)),
    "gru_layers.weight_hh_l1": ("backbone.gru_layers.weight_hh_l1", (3 * 12, 12)),
    "dense.weight": ("backbone.dense.weight", (D, 12)),
    "dense.bias": ("backbone.dense.bias", (D,)),
}
NARM = {
    "item_embedding.weight": ("embedder.item_table", (ITEMS + 1, D)),
    "gru.weight_ih_l0": ("backbone.gru.weight_ih_l0", (3 * 12, D)),
    "gru.weight_hh_l0": ("backbone.gru.weight_hh_l0", (3 * 12, 12)),
    "a_1.weight": ("backbone.a_1.weight", (12, 12)),
    "a_2.weight": ("backbone.a_2.weight", (12, 12)),
    "v_t.weight": ("backbone.v_t.weight", (1, 12)),
    "b.weight": ("backbone.b.weight", (D, 24)),
}
PUBLIC = {
    "gru4rec": GRU4REC,
    "narm": NARM,
    "sasrec": SASREC,
    "mamba4rec": MAMBA4REC,
    "ssd4rec": SSD4REC,
    "tim4rec": TIM4REC,
}
SETTINGS = {
    "gru4rec": {"hidden_size": D, "gru_size": 12, "num_layers": 2},
    "narm": {"hidden_size": D, "gru_size": 12, "num_layers": 1},
    "sasrec": {"hidden_size": D, "max_length": L, "num_layers": 2, "inner_size": 24},
    "mamba4rec": {"num_layers": 1, "state_size": 6, "conv_size": 4, "expand": 2},
    "ssd4rec": {"num_layers": 2, "state_size": N, "head_size": 4, "time_mode": "off"},
    "tim4rec": {"time_mode": "reference", "max_length": L, "p2p_residual": False},
}
ASSUMED = {
    "gru4rec": "max_length",
    "narm": "max_length",
    "sasrec": "num_heads",
    "mamba4rec": "max_length",
    "ssd4rec": "activation",
}

ALL = pytest.mark.parametrize("architecture", PUBLIC)


def tensors_of(architecture):
    generator = torch.Generator().manual_seed(3)
    return {
        name: 0.1 * torch.randn(shape, generator=generator)
        for name, (_, shape) in PUBLIC[architecture].items()
    }


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "items.txt"
    path.write_text("[PAD]\n" + "\n".join(IDS) + "\n")
    return path


@pytest.fixture
def saved(tmp_path):
    def saved(content, name="theirs.pth"):
        path = tmp_path / name
        if path.suffix == ".safetensors":
            save_file(content, path)
        else:
            torch.save(content, path)
        return path

    return saved


@ALL
@pytest.mark.parametrize("form", ["theirs.pth", "theirs.safetensors", "wrapped", "parallel"])
def test_every_tensor_goes_to_its_place(saved, vocabulary, architecture, form):
    tensors = tensors_of(architecture)
    if form == "wrapped":
        file = saved({"state_dict": tensors, "epoch": 3})
    elif form == "parallel":
        file = saved({f"module.{name}": tensor for name, tensor in tensors.items()})
    else:
        file = saved(tensors, form)
    model, assumed = import_weights(file, architecture=architecture, vocabulary=vocabulary)
    state = model.state_dict()
    placed = {name: ours for name, (ours, _) in PUBLIC[architecture].items() if ours}
    assert set(placed.values()) == set(state)
    for name, ours in placed.items():
        assert torch.equal(state[ours], tensors[name]), name
    assert SETTINGS[architecture].items() <= model.config.items()
    assert ASSUMED.get(architecture, "norm_eps") in assumed
    assert model.vocabulary == Vocabulary(IDS)
    assert not model.training


def test_a_setting_that_is_given_is_not_assumed(saved, vocabulary):
    model, assumed = import_weights(
        saved(tensors_of("sasrec")),
        architecture="sasrec",
        vocabulary=vocabulary,
        settings={"num_heads": 4},
    )
    assert model.config["num_heads"] == 4
    assert assumed == ("norm_eps",)


def test_the_command_makes_a_checkpoint_that_works(saved, vocabulary, tmp_path, capsys):
    def seqzoo_command(*words):
        code = run(words)
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())

    out = tmp_path / "runs" / "theirs"
    words = ["import", str(saved(tensors_of("sasrec"))), "--architecture", "sasrec"]
    words += ["--vocabulary", str(vocabulary), "--out", str(out)]
    done = seqzoo_command(*words, "model.num_heads=1", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["assumed"] == {"norm_eps": 1e-12}
    found = seqzoo_command("recommend", str(out), "--history", "a1", "c3", "-k", "2", "--json")
    assert {r["item"] for r in json.loads(found.out)["recommendations"]} <= set(IDS)
    assert seqzoo_command("info", str(out)).code == 0
    again = seqzoo_command(*words)
    assert again.code == 2
    assert "holds a checkpoint already" in again.err
    data = tmp_path / "data.csv"
    rows = [f"u{u},{item},{t}" for u in range(6) for t, item in enumerate(IDS)]
    data.write_text("user,item,timestamp\n" + "\n".join(rows) + "\n")
    measured = seqzoo_command("eval", str(out), "--data", str(data), "--json")
    assert measured.code == 0, measured.err
    assert json.loads(measured.out)["stored"] == {}
    text = seqzoo_command(*words[:-1], str(tmp_path / "other"))
    assert "assumed, not inferred from the weights: num_heads=2, norm_eps=1e-12" in text.out


def refused(error, message, **given):
    with pytest.raises(error, match=message):
        import_weights(given.pop("file"), **{"architecture": "sasrec", **given})


def test_what_does_not_fit_is_named(saved, vocabulary):
    tensors = tensors_of("sasrec")
    less = dict(tensors)
    del less["trm_encoder.layer.1.feed_forward.dense_2.bias"]
    message = r"1 of 36 tensors do not fit: missing tensor backbone.layers.1.feed_forward.dense_2"
    refused(CheckpointError, message, file=saved(less), vocabulary=vocabulary)
    more = tensors | {"gate.weight": torch.ones(2)}
    message = "unexpected tensor gate.weight"
    refused(CheckpointError, message, file=saved(more), vocabulary=vocabulary)
    wrong = tensors | {"LayerNorm.bias": torch.ones(D + 1)}
    message = r"embedder.norm.bias has shape \[9\], expected \[8\]"
    refused(CheckpointError, message, file=saved(wrong), vocabulary=vocabulary)
    other = tensors_of("mamba4rec")
    message = "naming scheme.*not known: there is no tensor 'position_embedding.weight'"
    refused(CheckpointError, message, file=saved(other), vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        # Other public SASRecs: the original's port by pmixer, and gSASRec's code.
        (("item_emb.weight", "pos_emb.weight"), "position_embedding.weight"),
        (
            ("item_embedding.weight", "position_embedding.weight", "seq_norm.weight"),
            "trm_encoder.layer.0.feed_forward.dense_1.weight",
        ),
    ],
)
def test_another_implementation_of_the_same_architecture(saved, vocabulary, names, missing):
    """The architecture is right: the message says which implementation's names are known."""
    file = saved({name: torch.ones(ITEMS + 1, D) for name in names})
    with pytest.raises(CheckpointError) as raised:
        import_weights(file, architecture="sasrec", vocabulary=vocabulary)
    said = str(raised.value)
    assert f"naming scheme of these weights is not known: there is no tensor '{missing}'" in said
    assert f"the first names are {', '.join(sorted(names))};" in said
    assert "knows the names of RecBole's SASRec" in said


@pytest.mark.parametrize(
    "architecture", [spec.name for spec in catalogue().architectures if spec.importer]
)
def test_each_importer_says_whose_names_it_knows(saved, vocabulary, architecture):
    message = (
        "the importer of this architecture knows the names of (Rec(Bole|Tools)'s?|the .* code, .*/)"
    )
    file = saved({"weight": torch.ones(2)})
    refused(CheckpointError, message, file=file, vocabulary=vocabulary, architecture=architecture)


def test_the_vocabulary_must_be_theirs(saved, tmp_path):
    path = tmp_path / "four.txt"
    path.write_text("\n".join(IDS[:4]))
    message = "has 4 items, so the item table must have 5 rows .* has 6"
    refused(UsageError, message, file=saved(tensors_of("sasrec")), vocabulary=path)


def test_other_bad_input(saved, vocabulary, tmp_path):
    good = saved(tensors_of("sasrec"))
    cases = [
        (UnknownNameError, "did you mean 'sasrec'", {"architecture": "sasrek"}),
        (ConfigError, "has no importer", {"architecture": "elastic"}),
        (CheckpointError, "there is no file", {"file": tmp_path / "missing.pth"}),
        (ConfigError, "num_heads", {"settings": {"num_heads": 3}}),
        (ConfigError, "did you mean 'model.num_heads'", {"settings": {"num_head": 2}}),
        (DataError, "cannot be read as a vocabulary", {"vocabulary": tmp_path / "none.txt"}),
    ]
    for error, message, given in cases:
        refused(error, message, **{"file": good, "vocabulary": vocabulary, **given})
    for content, message in (
        ({"state_dict": {"a": 3}}, "'a' is int; expected a plain state dict"),
        ([1, 2], "holds list, expected a state dict"),
        ({"a": torch.tensor([float("nan")])}, "NaN or infinities in a"),
    ):
        refused(CheckpointError, message, file=saved(content, "bad.pth"), vocabulary=vocabulary)
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(good.read_bytes()[:100])
        refused(CheckpointError, "state dict", file=tmp_path / name, vocabulary=vocabulary)
    for content in ("1\n2\n3\n", '{"weights": []}', "", "emb 1 2 3\n"):
        (tmp_path / "text.pth").write_text(content)
        message = "text.pth is not a state dict .neither a zip archive nor a pickle.; expected"
        refused(CheckpointError, message, file=tmp_path / "text.pth", vocabulary=vocabulary)


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_the_file_is_executed(saved, vocabulary, tmp_path):
    trap = tmp_path / "executed"
    file = saved(tensors_of("sasrec") | {"config": _Bomb(trap)})
    refused(
        CheckpointError, "not read because they could run code", file=file, vocabulary=vocabulary
    )
    assert not trap.exists()


@pytest.mark.parametrize(
    "content", ['["[PAD]", "a", "b"]', '{"items": ["a", "b"], "labels": ["A", null]}']
)
def test_vocabularies_in_json(tmp_path, content):
    path = tmp_path / "items.json"
    path.write_text(content)
    found = read_vocabulary_file(path)
    assert found.items == ("a", "b")
    assert found.labels == (("A", None) if "labels" in content else None)


@pytest.mark.parametrize("content", ["{", "3", '{"items": 3}', '["a", "a"]', "[]", "[3]"])
def test_no_vocabularies(tmp_path, content):
    path = tmp_path / "items.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"items\.json"):
        read_vocabulary_file(path)


def test_every_first_party_importer_can_be_imported():
    names = {spec.name for spec in catalogue().architectures if spec.importer}
    assert set(PUBLIC) <= names
    for name in names:
        assert callable(catalogue().architectures.get(name).load_importer())
