from itertools import pairwise
from typing import get_args

import pytest
import torch

from nint_cli.config.layers import Layer, Setting, flag_layer, resolve
from nint_cli.config.presets import preset_layer, preset_names
from nint_cli.config.schema import (
    FIELD_NAMES,
    SAMPLER_NAMES,
    RecipeName,
    RunConfig,
    dotted_keys,
)
from nint_cli.config.yaml_text import file_layer, parse_yaml, set_layer
from nint_cli.errors import ConfigError
from nint_cli.fields.table import field_class
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.build import build_field, build_sampler
from nint_cli.samplers.slots import Mixture
from nint_cli.training.optimiser import OptimiserSettings
from tests.conftest import tiny_signal


def faults(*layers):
    with pytest.raises(ConfigError) as caught:
        resolve(layers)
    return list(caught.value.lines)


def yaml_faults(text):
    with pytest.raises(ConfigError) as caught:
        resolve([parse_yaml(text, "c.yaml")])
    return list(caught.value.lines)


# Layers


def test_later_layers_win_and_origins_tell_them_apart(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("steps: 20\nnint:\n  alpha: 5\n  xi: 0.5\n")
    settings = set_layer(["nint.alpha=6", "optimiser.lr=1e-3"])
    layers = [
        preset_layer("paper"),
        file_layer(path),
        settings,
        flag_layer({"seed": ("--seed", 3), "steps": ("--steps", None)}, settings),
    ]
    resolved = resolve(layers)
    config = resolved.config
    assert (config.steps, config.section("nint").alpha, config.section("nint").xi) == (20, 6, 0.5)
    assert (config.optimiser.lr, config.seed) == (1e-3, 3)
    assert resolved.origins["steps"] == f"{path}:1:1"
    assert resolved.origins["nint.xi"] == f"{path}:4:3"
    assert resolved.origins["nint.alpha"] == "--set"
    assert resolved.origins["seed"] == "--seed"
    assert resolved.origins["device"] == "built-in"
    assert resolved.origins["batch.fraction"].startswith("preset paper:")
    assert resolved.values()["nint.lambda"] == 1.0
    assert list(resolved.values()) == list(dotted_keys())


def test_batch_size_and_fraction_undo_each_other():
    size = parse_yaml("batch: {size: 64}", "a")
    fraction = parse_yaml("batch: {fraction: 0.5}", "b")
    assert resolve([size, fraction]).config.batch.size is None
    assert resolve([fraction, size]).config.batch.size == 64
    assert resolve([size, parse_yaml("batch: {size: null}", "c")]).config.batch.size is None


def test_a_learning_rate_that_is_given_holds_at_any_size():
    preset = preset_layer("default")
    assert resolve([preset]).config.optimiser.lr_side == 256
    given = resolve([preset, parse_yaml("optimiser: {lr: 6e-4}", "c")])
    assert (given.config.optimiser.lr_side, given.origins["optimiser.lr_side"]) == (
        None,
        "built-in",
    )
    both = resolve([preset, parse_yaml("optimiser: {lr: 6e-4, lr_side: 9}", "c")])
    assert both.config.optimiser.lr_side == 9


def test_only_large_pictures_lower_the_rate():
    optimiser = resolve([preset_layer("default")]).config.optimiser
    rates = {(256, 90): 6e-4, (90, 1024): 3e-4, (16_384, 16_384): 7.5e-5}
    rates |= {(65_536,): 6e-4, (300, 300, 300): 6e-4}
    for shape, rate in rates.items():
        assert optimiser.peak_rate(shape) == pytest.approx(rate)
    assert [optimiser.first_decay(steps) for steps in (1, 2000)] == [0.8, 0.8]
    assert optimiser.first_decay(8000) == pytest.approx(0.9)
    flat = OptimiserSettings(lr=0.5)
    assert flat.peak_rate((512, 512)) == 0.5
    assert flat.first_decay(10**9) == 0.9


def test_a_flag_may_repeat_but_not_contradict_set():
    settings = set_layer(["steps=10"])
    layer = flag_layer({"steps": ("--steps", 10)}, settings)
    assert resolve([settings, layer]).origins["steps"] == "--steps"
    contrary = flag_layer({"steps": ("--steps", 11)}, settings)
    assert faults(settings, contrary) == [
        "--steps 11 contradicts --set steps=10; give one of them"
    ]


@pytest.mark.parametrize("text", ["steps", "=3", "", " =1"])
def test_set_needs_a_key_and_a_value(text):
    with pytest.raises(ConfigError, match="expected key=value"):
        set_layer([text])


# Values


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optimiser: {lr: 1e-4}", "optimiser.lr", 1e-4),
        ("optimiser: {lr: '1e-4'}", "optimiser.lr", 1e-4),
        ("steps: 1000", "steps", 1000),
        ("image: {size: ~}", "image.size", None),
        ("image:\n  size:\n", "image.size", None),
        ("siren: {omega_0: 25}", "siren.omega_0", 25.0),
        ("\ufeffseed: 7\r\nsteps: 3\r\n", "seed", 7),
        ("nint: {lambda: .5}", "nint.lambda", 0.5),
    ],
)
def test_values_are_read_as_meant(text, key, value):
    text = text.removeprefix("\ufeff")
    assert resolve([parse_yaml(text, "c")]).values()[key] == value


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# only a comment\n")
    assert resolve([file_layer(path)]).config == RunConfig()


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes("\ufeffsteps: 9\r\n".encode())
    assert resolve([file_layer(path)]).config.steps == 9


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nint:\n  alfa: 3", "c.yaml:2:3: nint.alfa: unknown key, did you mean 'nint.alpha'?"),
        ("samplr: nint", "c.yaml:1:1: samplr: unknown key, did you mean 'sampler'?"),
        ("lr: 1", "c.yaml:1:1: lr: unknown key, did you mean 'optimiser.lr'?"),
        ("zzz: 1", "c.yaml:1:1: zzz: unknown key"),
        ("nint: {alpha: {beta: 1}}", "c.yaml:1:16: nint.alpha.beta: unknown key"),
        ("sampler: nnit", "got 'nnit', did you mean 'nint'?"),
        ("field: sirens", "got 'sirens', did you mean 'siren'?"),
        ("steps: 0", "c.yaml:1:1: steps: must be greater than or equal to 1; got 0"),
        ("steps: 1.5", "steps: must be a valid integer; got 1.5"),
        ("steps: no", "steps: must be a valid integer; got 'no'"),
        ("steps: true", "c.yaml:1:1: steps: must be no truth value; got True"),
        ("sampler: true", "c.yaml:1:1: sampler: must be no truth value; got True"),
        (
            "nint.alpha: 3\nnint: {alpha: 4}",
            "c.yaml:2:8: nint.alpha: given before, at c.yaml:1:1",
        ),
        ("steps: 1:30", "steps: must be a valid integer; got '1:30'"),
        ("steps: [1]", "steps: must be a valid integer; got [1]"),
        ("optimiser: {lr: 0}", "optimiser.lr: must be greater than 0; got 0"),
        ("optimiser: {lr: -1e-4}", "optimiser.lr: must be greater than 0; got -0.0001"),
        ("optimiser: {lr: .nan}", "optimiser.lr: must be"),
        ("siren: {omega_0: .inf}", "siren.omega_0: must be"),
        ("siren: {hidden_features: 1000000000}", "must be less than or equal to 16384"),
        ("batch: {fraction: 1.5}", "batch.fraction: must be less than or equal to 1; got 1.5"),
        ("batch: {fraction: 0}", "batch.fraction: must be greater than 0; got 0"),
        ("batch: 5", "c.yaml:1:1: batch: must be a section of keys; got 5"),
        ("device: gpu", "device: must be auto, cpu, cuda or cuda:N; got 'gpu'"),
        ("seed: -1", "seed: must be greater than or equal to 0; got -1"),
    ],
)
def test_bad_values_say_where_why_and_what_is_near(text, fault):
    assert any(fault in line for line in faults(parse_yaml(text, "c.yaml")))


def test_all_faults_are_named_at_once():
    text = "steps: -1\nsampler: x\nnint: {alfa: 1, xi: 2}\nsteps: 3\n"
    assert len(faults(parse_yaml(text, "c.yaml"))) == 5


def test_a_few_aliases_are_fine():
    text = "steps: &n 12\nnint: {alpha: *n}\n"
    assert resolve([parse_yaml(text, "c")]).config.section("nint").alpha == 12


# Hostile and broken YAML


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "c.yaml:1:5: not valid YAML"),
        ("a:\tb\n\tc: d", "not valid YAML"),
        ("- 1", "c.yaml:1:1: expected 'key: value' lines at the top level"),
        ("just text", "c.yaml:1:1: expected 'key: value' lines at the top level"),
        ("steps: 1\nsteps: 2", "c.yaml:2:1: steps: given before, in line 1"),
        ("nint:\n  xi: 1\n  xi: 2", "c.yaml:3:3: nint.xi: given before, in line 2"),
        ("x: !!python/object/apply:os.system [touch canary]", "c.yaml:1:4: tags such as"),
        ("a: &x [*x]", "aliases unfold too far"),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 10)}]\n" for p, n in pairwise("abcdef")),
            "aliases unfold too far",
        ),
        ("x: " + "[" * 100, "nested too deep"),
        ("a: " + "{b: " * 100, "nested too deep"),
        ("? [a]\n: 1", "c.yaml:1:3: a key must be a word"),
        ("a: \x00", "not valid YAML"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
    ],
)
def test_unacceptable_yaml_is_refused_with_its_place(text, fault, tmp_path):
    assert any(fault in line for line in yaml_faults(text))
    assert not (tmp_path / "canary").exists()


def test_a_long_list_is_refused_before_it_is_built():
    assert "too long" in yaml_faults("x: [" + "1, " * 20_000 + "1]")[0]


def test_files_that_are_no_configuration(tmp_path):
    for name, data, fault in (
        ("large.yaml", b"#" * 2_000_000, "larger than 1,000,000 bytes"),
        ("latin.yaml", b"steps: \xff\xfe", "not UTF-8 text"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError, match=fault):
            file_layer(tmp_path / name)
    with pytest.raises(ConfigError, match="No such file"):
        file_layer(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="directory"):
        file_layer(tmp_path)


# Presets and names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_survives_its_own_yaml(name):
    import yaml

    config = resolve([preset_layer(name)]).config
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    assert resolve([parse_yaml(text, "again")]).config == config


def test_presets_are_those_that_are_promised():
    assert {"default", "paper", "smoke"} <= set(preset_names())
    assert resolve([preset_layer("smoke")]).config.steps <= 50
    paper = resolve([preset_layer("paper")]).config
    assert paper == RunConfig(), "the built-in defaults are the paper's"
    assert (paper.steps, paper.batch.fraction, paper.optimiser.lr) == (5000, 0.2, 1e-4)
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        preset_layer("papr")


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_every_sampler_name_builds_its_own_class(name):
    sampler = build_sampler(RunConfig.model_validate({"sampler": name}), tiny_signal())
    assert type(sampler).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_name_builds_its_own_class(name):
    field = build_field(RunConfig.model_validate({"field": name}), (4, 5), 3)
    assert type(field).__name__.lower() == name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["sampler=soft_mining", "batch.schedule=step"],
            "every batch of sampler soft_mining has as many points, and batch.schedule step lets "
            "them grow; set batch.schedule to constant",
        ),
        (
            ["hashgrid.finest=12"],
            "hashgrid.coarsest 16 is above hashgrid.finest 12; lower it",
        ),
        (
            ["egra.radius_min=10"],
            "egra.radius_min 10 is above egra.radius_max 9; exchange them",
        ),
        (["egra.low=50"], "egra.low 50 is above egra.high 40; exchange them"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings, message):
    with pytest.raises(ConfigError) as error:
        resolve([set_layer(settings)])
    assert error.value.lines == (message,)


def test_particles_with_a_fixed_size_may_stand_beside_a_schedule():
    settings = ["sampler=soft_mining", "batch.schedule=step", "batch.size=30"]
    assert resolve([set_layer(settings)]).config.batch.size == 30


def test_a_section_named_like_a_type_is_set_and_shown_by_its_name():
    resolved = resolve([set_layer(["int.interval=incremental", "int.every=3"])])
    assert resolved.values()["int.interval"] == "incremental"
    assert resolved.origins["int.every"] == "--set"
    assert "int" in resolved.config.model_dump(mode="json")
    with pytest.raises(ConfigError, match=r"int\.evry: unknown key, did you mean 'int\.every'"):
        resolve([set_layer(["int.evry=3"])])


@pytest.mark.parametrize(
    ("sampler", "settings", "attributes"),
    [
        ("egra", {"p": 0.5, "density": 0.5, "radius_max": 7}, {"radius_max": 7}),
        ("expansive", {"loss": "expanded", "released": True}, {"loss": "expanded"}),
        ("soft_mining", {"alpha": 0.1, "noise": 0.3}, {"alpha": 0.1, "noise": 0.3}),
        ("int", {"interval": "dense2", "every": 9}, {"interval": "dense2", "every": 9}),
        ("evos", {"crossover": "add", "supervised": 0.5}, {"crossover": "add", "supervised": 0.5}),
        (
            "nint",
            {"score": "sketch", "sketches": 9, "interval": "dense2", "lambda": 2, "start": 0.5},
            {"score": "sketch", "sketches": 9, "mixture": Mixture(lambda_=2.0, start=0.5)},
        ),
        (
            "nint_diagonal",
            {"score": "error", "pool": 9, "max_chosen": 0.1, "weight": 0.5},
            {"score": "error", "pool": 9, "max_chosen": 0.1, "weight": 0.5},
        ),
    ],
)
def test_settings_reach_the_sampler(sampler, settings, attributes):
    config = RunConfig.model_validate({"sampler": sampler, sampler: settings})
    built = build_sampler(config, tiny_signal())
    assert {name: getattr(built, name) for name in attributes} == attributes


def test_what_a_sampler_knows_beforehand_is_that_of_the_signal():
    def built(shape, **config):
        return build_sampler(RunConfig.model_validate(config), tiny_signal(shape))

    assert [built(s, sampler="egra").both_sides for s in [(30,), (5, 6)]] == [True, False]
    assert [built(s, sampler="evos").shape for s in [(30,), (5, 6)]] == [None, (5, 6)]
    edges = [len(built((50, 60), sampler="egra", egra={"high": h}).edges) for h in (40, 1000)]
    assert edges[0] > edges[1]
    ours, released = (
        built((5, 6), sampler="soft_mining", soft_mining={"released": r}) for r in (False, True)
    )
    assert len(ours.density) == len(released.density) == 31
    assert not torch.equal(ours.density, released.density)


def test_every_key_says_what_it_means():
    assert all(dotted_keys().values())


# Recipes


def layered(**settings):
    return Layer({
        key.replace("__", "."): Setting(value, "--set") for key, value in settings.items()
    })


@pytest.mark.parametrize("name", FIELD_NAMES)
@pytest.mark.parametrize("modality", MODALITIES)
def test_every_field_has_its_recipes_for_every_modality(name, modality):
    assert set(field_class(name).recipes[modality]) == set(get_args(RecipeName))
    for recipe, found in field_class(name).recipes[modality].items():
        resolved = resolve([layered(field=name, recipe=recipe)], modality)
        assert "optimiser.lr" in found.settings
        for key, value in found.settings.items():
            assert resolved.values()[key] == value
            assert resolved.origins[key] == f"{recipe} recipe of {name}"


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_default_guides_pictures_sounds_by_most_fields_and_no_shapes(name):
    """Without a sweep, and the paper's preset as the paper does."""

    def chosen(preset, modality):
        config = resolve([preset_layer(preset, modality), layered(field=name)], modality).config
        return config.sampler

    guided = name not in {"hashgrid", "mlp"}
    assert chosen("default", "image") == "nint_diagonal"
    assert chosen("default", "audio") == ("nint_diagonal" if guided else "uniform")
    assert chosen("default", "sdf") == "uniform"
    for modality in MODALITIES:
        assert chosen("paper", modality) == "nint"


def test_the_field_brings_its_recipe_and_anything_given_beats_it():
    wire = field_class("wire").recipes["image"]
    paper = resolve([preset_layer("paper"), layered(field="wire")])
    assert paper.config.optimiser.lr == wire["published"].settings["optimiser.lr"]
    assert (paper.config.steps, paper.config.batch.fraction) == (5000, 0.2)
    default = resolve([preset_layer("default"), layered(field="wire")])
    assert default.config.batch.size == wire["tuned"].settings["batch.size"]
    assert default.config.optimiser.schedule == "cosine"
    given = layered(field="wire", optimiser__lr=0.123, steps=7, batch__fraction=0.5)
    mine = resolve([preset_layer("default"), given])
    assert (mine.config.optimiser.lr, mine.config.steps) == (0.123, 7)
    assert (mine.config.batch.size, mine.config.batch.fraction) == (None, 0.5)


def test_siren_is_trained_as_in_the_paper_of_nint():
    config = resolve([preset_layer("paper")]).config
    assert (config.field, config.optimiser.lr, config.optimiser.schedule) == (
        "siren",
        1e-4,
        "constant",
    )
