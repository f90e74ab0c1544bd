import dataclasses
import warnings
from dataclasses import dataclass, field
from typing import Any

import pytest

from seqzoo import errors
from seqzoo.config import model_config, model_schema, parse_overrides, part_config, structure
from seqzoo.errors import ConfigError, PluginError, SeqzooError, nearest
from seqzoo.plugins import catalogue
from seqzoo.registry import Catalogue, Registrar
from seqzoo.training.recipe import TrainConfig


@dataclass
class Settings:
    width: int = 4
    rate: float = 0.5
    name: str = "x"
    fast: bool = False
    column: str | None = None
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"setting 'width' is {self.width}; expected 1 or more")


@dataclass
class OtherWidth:
    width: float = 4.0


@dataclass
class Headed:
    head: int = 2


@dataclass
class Aimed:
    objective: int = 2


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], {}),
        (
            ["model.num_layers=2", "train.lr=5e-4"],
            {"model": {"num_layers": 2}, "train": {"lr": 5e-4}},
        ),
        (["train.lr=1", "train.lr=2"], {"train": {"lr": 2}}),
        (["data.source=a=b"], {"data": {"source": "a=b"}}),
        (["train.protocols=[loo-full]"], {"train": {"protocols": ["loo-full"]}}),
        (["data.time_col=''"], {"data": {"time_col": ""}}),
        (["data.time_col=null"], {"data": {"time_col": None}}),
        (["train.shift_windows=false"], {"train": {"shift_windows": False}}),
        (["data.options.users=80"], {"data": {"options": {"users": 80}}}),
        (["architecture=sasrec"], {"architecture": "sasrec"}),
    ],
)
def test_overrides(overrides, expected):
    assert parse_overrides(overrides) == expected


@pytest.mark.parametrize(
    "override", ["model.num_layers", "=2", "model.=2", ".x=2", "mo del.x=2", "--x=2", "", "a..b=1"]
)
def test_malformed_overrides(override):
    with pytest.raises(ConfigError, match=r"not of the form section\.key=value.*train\.lr=5e-4"):
        parse_overrides([override])


@pytest.mark.parametrize("override", ["train.lr=[1", "train.lr={", "train.lr='"])
def test_values_that_are_not_yaml(override):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        parse_overrides([override])
    assert "\n" not in str(caught.value)


def test_an_override_whose_bytes_are_not_utf_8():
    """As Python passes on such a word of the command line."""
    word = b"model.loss=\xff".decode("utf-8", "surrogateescape")
    with pytest.raises(
        ConfigError, match=r"'model\.loss=.udcff' has characters that are not UTF-8"
    ):
        parse_overrides([word])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"width": 3}, {"width": 3}),
        ({"width": "3"}, {"width": 3}),
        ({"rate": 1}, {"rate": 1.0}),
        ({"rate": "1e-3"}, {"rate": 1e-3}),
        ({"column": "c"}, {"column": "c"}),
        ({"column": None}, {"column": None}),
        ({"fast": True}, {"fast": True}),
        ({"sizes": [3]}, {"sizes": [3]}),
        ({"sizes": []}, {"sizes": []}),
        ({"options": {"a": {"b": [1]}}}, {"options": {"a": {"b": [1]}}}),
    ],
)
def test_values_fill_a_dataclass(values, expected):
    """Without a word of OmegaConf's about 1 for 1.0."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = structure(Settings, values, "model")
    assert made == Settings(**expected)
    for name, value in expected.items():
        assert type(getattr(made, name)) is type(value)


def test_defaults_are_not_shared():
    structure(Settings, {}, "model").sizes.append(3)
    assert structure(Settings, {}, "model").sizes == [1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"widht": 3},
            r"unknown setting 'model\.widht'; did you mean 'model\.width'\? Known: colu",
        ),
        ({"zzz": 3}, r"unknown setting 'model\.zzz'; Known: column, fast"),
        ({"width": 2.5}, r"setting 'model\.width' is 2\.5; expected int"),
        ({"width": "wide"}, r"'model\.width' is 'wide'; expected int"),
        ({"width": [[]] * 9999}, r"'model\.width' is .{100}; expected int$"),
        ({"width": True}, r"'model\.width' is True; expected int"),
        ({"width": None}, r"'model\.width' is None; expected int"),
        ({"rate": "fast"}, r"'model\.rate' is 'fast'; expected float"),
        ({"rate": float("nan")}, r"'model\.rate' is nan; expected a finite number"),
        ({"rate": "-inf"}, r"'model\.rate' is -inf; expected a finite number"),
        ({"fast": "perhaps"}, r"'model\.fast' is 'perhaps'; expected bool"),
        ({"sizes": 3}, r"'model\.sizes' is 3; expected"),
        ({"sizes": ["a"]}, r"'model\.sizes' is \['a'\]"),
        ({"options": 3}, r"'model\.options' is 3"),
        ({"width": 0}, r"model: setting 'width' is 0; expected 1 or more"),
        ({"name": "${nobody}"}, "references are not supported"),
    ],
)
def test_values_that_do_not_fit(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        structure(Settings, values, "model")
    assert "\n" not in str(caught.value)


def architecture(configs, **fields):
    """A catalogue with one architecture whose three parts have these config classes."""
    made, registrar = Catalogue(), Registrar("mine")
    for kind, config in zip(("embedder", "backbone", "head"), configs, strict=True):
        options = {"config": f"{config.__module__}:{config.__qualname__}"}
        if kind == "backbone":
            options["causal"] = True
        getattr(registrar, kind)("part", "json:loads", **options)
    registrar.objective("next-item", "json:loads", config="seqzoo.parts.config:NextItemConfig")
    registrar.architecture("linrec", embedder="part", backbone="part", head="part", **fields)
    made.take(registrar.staged)
    return made.architectures.get("linrec"), made


def test_parts_share_settings_of_one_name():
    spec = catalogue().architectures.get("sasrec")
    config = model_config(spec, {"dropout": 0.5, "hidden_size": 8}, catalogue())
    embedder = catalogue().embedders.get(spec.embedder).load_config()
    backbone = catalogue().backbones.get(spec.backbone).load_config()
    for part in (embedder, backbone):
        made = part_config(part, config)
        assert (made.dropout, made.hidden_size) == (0.5, 8)
    assert config["num_heads"] == 2
    assert config["loss_options"] == {}


def test_defaults_of_an_architecture():
    spec, made = architecture([Settings] * 3, defaults={"width": 7, "sizes": [9]})
    config = model_config(spec, {"rate": 0.25}, made)
    assert (config["width"], config["rate"], config["name"]) == (7, 0.25, "x")
    assert model_config(spec, {"width": 2}, made)["width"] == 2
    config["sizes"].append(10)
    assert model_config(spec, {}, made)["sizes"] == [9]


def test_defaults_that_no_part_has():
    spec, made = architecture([Settings] * 3, defaults={"heads": 7})
    with pytest.raises(PluginError, match=r"'linrec' has defaults for \['heads'\]"):
        model_schema(spec, made)


def test_one_name_of_two_types():
    spec, made = architecture([Settings, OtherWidth, Settings])
    with pytest.raises(PluginError, match=r"setting 'width' is .*int.* and .*float"):
        model_schema(spec, made)


def test_parts_check_their_own_settings():
    spec, made = architecture([Settings] * 3)
    with pytest.raises(ConfigError, match="'width' is 0"):
        model_config(spec, {"width": 0}, made)


def test_another_head():
    spec = catalogue().architectures.get("sasrec")
    values = {"head": "cosine-softmax", "temperature": 0.1}
    config = model_config(spec, values, catalogue())
    assert config["head"] == "cosine-softmax"
    assert config["temperature"] == 0.1
    assert "output_bias" not in config
    assert model_config(spec, config, catalogue()) == config
    own = model_config(spec, {}, catalogue())
    assert model_config(spec, {"head": spec.head}, catalogue()) == own
    assert "head" not in own


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head": "cosine-sofmax"}, "unknown head 'cosine-sofmax'; did you mean 'cosine-softmax'"),
        ({"head": None}, "unknown head 'None'"),
        ({"hed": "cosine-softmax"}, r"'model\.hed'; did you mean 'model\.head'"),
        ({"temperature": 0.1}, r"unknown setting 'model\.temperature'"),
        ({"head": "cosine-softmax", "output_bias": True}, r"unknown setting 'model\.output_bias'"),
        ({"head": "cosine-softmax", "temperature": 0.0}, "'temperature' is 0.0; expected 0.0001"),
    ],
)
def test_heads_that_cannot_be(values, message):
    spec = catalogue().architectures.get("sasrec")
    with pytest.raises(SeqzooError, match=message):
        model_config(spec, values, catalogue())


def test_a_default_for_the_head_that_is_replaced_goes_with_it():
    spec = catalogue().architectures.get("sasrec")
    biased = dataclasses.replace(spec, defaults={**spec.defaults, "output_bias": True})
    assert model_config(biased, {}, catalogue())["output_bias"] is True
    config = model_config(biased, {"head": "cosine-softmax"}, catalogue())
    assert config == model_config(spec, {"head": "cosine-softmax"}, catalogue())


def test_the_options_of_a_loss_that_is_replaced_go_with_it():
    spec, everything = catalogue().architectures.get("sasrec"), catalogue()
    own = {"loss": "bce", "loss_options": {"negatives": 3}}
    spec = dataclasses.replace(spec, defaults={**spec.defaults, **own})
    for values, loss, options in (
        ({}, "bce", {"negatives": 3}),
        ({"loss": "bce"}, "bce", {"negatives": 3}),
        ({"loss": "cross-entropy"}, "cross-entropy", {}),
        ({"loss": "gbce", "loss_options": {"calibration": 0.5}}, "gbce", {"calibration": 0.5}),
        ({"head": "cosine-softmax", "loss": "bpr"}, "bpr", {}),
    ):
        config = model_config(spec, values, everything)
        assert (config["loss"], config["loss_options"]) == (loss, options), values
        assert model_config(spec, config, everything) == config


@pytest.mark.parametrize(("config", "name"), [(Headed, "head"), (Aimed, "objective")])
def test_a_part_may_not_call_a_setting_by_the_name_that_chooses_a_part(config, name):
    spec, made = architecture([Settings, config, Settings])
    with pytest.raises(PluginError, match=f"'part' has a setting '{name}'"):
        model_config(spec, {}, made)


def test_another_objective_brings_its_settings():
    spec, everything = catalogue().architectures.get("sasrec"), catalogue()
    assert "objective" not in model_config(spec, {"objective": "next-item"}, everything)
    config = model_config(spec, {"objective": "duorec", "contrast_weight": 0.5}, everything)
    assert (config["objective"], config["contrast_weight"]) == ("duorec", 0.5)
    assert config["dropout"] == spec.defaults["dropout"], "the architecture's defaults stay"
    with pytest.raises(ConfigError, match=r"unknown setting 'model\.contrast_weight'"):
        model_config(spec, {"contrast_weight": 0.5}, everything)


def test_every_error_is_one_of_ours():
    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(found) >= 13
    for error in found:
        assert issubclass(error, SeqzooError)
        assert error.exit_code == 2
        assert error.__doc__


def test_nearest():
    assert nearest("ndgc", ["hit", "ndcg", "mrr"]) == "; did you mean 'ndcg'?"
    assert nearest("zzz", ["hit", "ndcg"]) == ""
    assert nearest("x", []) == ""


def test_references_to_the_environment_are_refused(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    for value in ("${oc.env:SECRET}", ["${oc.env:SECRET}"]):
        with pytest.raises(ConfigError, match="references are not supported") as error:
            structure(TrainConfig, {"metric": value}, "train")
        assert "s3cret" not in str(error.value)


def test_words_that_yaml_takes_for_true_or_false_stay_words():
    given = ["model.time_mode=off", "data.time_col=", "train.precision=no", "train.flag=true"]
    assert parse_overrides(given) == {
        "model": {"time_mode": "off"},
        "data": {"time_col": ""},
        "train": {"precision": "no", "flag": True},
    }


def test_a_setting_of_true_or_false_takes_those_words():
    @dataclass
    class Flags:
        shift: bool = True

    assert structure(Flags, parse_overrides(["train.shift=off"])["train"], "train") == Flags(False)
