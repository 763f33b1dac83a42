"""Configurations and presets: what is accepted, and what the errors say."""

import dataclasses

import pytest

from minorml.methods import METHODS
from minorml.rl.config import Config, explain_fields, parse_setting, setting
from minorml.rl.presets import PRESETS, closest, expand, labels, preset

NORML = preset("point/norml")


def test_every_environment_has_every_method():
    systems = "point", "point-sparse", "cartpole", "cartpole-positions", "cheetah"
    ours = "cartpole-motor", "cartpole-motor-pole", "cheetah-reverse", "cartpole-small", "cheetah-small"
    environments = (*systems, *ours, *(f"{system}-published" for system in systems))
    not_published = {"point-published/dr", "point-sparse-published/dr"}
    assert set(PRESETS) == {f"{env}/{method}" for env in environments for method in METHODS} - not_published | {
        "point-goal/maml", "point-goal/norml"}


def test_small_presets_differ_in_size_alone():
    for name, config in PRESETS.items():
        if "-small" in name:
            full = PRESETS[name.replace("-small", "")]
            differ = {f.name for f in dataclasses.fields(Config) if getattr(full, f.name) != getattr(config, f.name)}
            assert "horizon" in differ and differ <= {"horizon", "num_tasks", "num_trajectories", "iterations"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_learn_what_their_method_learns(name):
    config = PRESETS[name]
    assert name.endswith("/" + config.method)
    assert set(METHODS[config.method].learned) <= set(config.learned)
    assert len(set(config.learned)) == len(config.learned)


@pytest.mark.parametrize("field, value, expected", [
    ("num_tasks", 0, "num_tasks: expected a number > 0; given 0"),
    ("num_tasks", 2.0, "num_tasks: expected an integer; given 2.0"),
    ("num_tasks", True, "num_tasks: expected an integer; given True"),
    ("discount", 1.5, r"discount: expected a number in \[0, 1\]; given 1.5"),
    ("log_std", float("nan"), "log_std: expected a finite number; given nan"),
    ("inner_rate", -1.0, "inner_rate: expected a number >= 0; given -1.0"),
    ("hidden", (50, 0), r"hidden: expected positive layer widths; given \(50, 0\)"),
    ("hidden", "50", "hidden: expected a sequence of integers; given '50'"),
    ("activation", "gelu", "activation: expected one of tanh, relu, identity; given 'gelu'"),
    ("method", "reptile", "method: expected one of dr, maml"),
    ("vary", (), r"vary: expected one attribute or more, each once; given \(\)"),
    ("vary", ("g=uniform:5,6", "g=choice:1"), "vary: expected one attribute or more, each once; given"),
    ("vary", ("rotation",), "vary: expected NAME=uniform:LOW,HIGH with LOW <= HIGH, or NAME=.*given 'rotation'"),
    ("dtype", "float16", "dtype: expected float32 or float64; given 'float16'"),
    ("adapt_steps", 0, "adapt_steps: expected a number > 0; given 0"),
    ("obs_scale", (1.0, 0.0), r"obs_scale: expected positive numbers; given \(1.0, 0.0\)"),
    ("obs_scale", (1.0, "a"), "obs_scale: expected a sequence of numbers"),
    ("obs_scale", (float("inf"),), "obs_scale: expected finite numbers"),
])
def test_errors_name_field_expected_and_given(field, value, expected):
    with pytest.raises(ValueError, match=expected):
        dataclasses.replace(NORML, **{field: value})


def test_an_integer_will_do_for_a_number():
    assert type(dataclasses.replace(NORML, log_std=-1).log_std) is float


def test_learn_alpha_adds_alpha_once():
    assert dataclasses.replace(NORML, learn_alpha=True).learned == ("theta", "psi", "offset", "alpha")
    assert dataclasses.replace(preset("point/maml"), learn_alpha=True).learned == ("theta", "alpha")


@pytest.mark.parametrize("text, expected", [
    ("num_tasks=3", ("num_tasks", 3)), ("discount=0.5", ("discount", 0.5)), ("learn_alpha=true", ("learn_alpha", True)),
    ("hidden=32,16", ("hidden", (32, 16))), ("hidden=", ("hidden", ())), ("obs_scale=1,2.5", ("obs_scale", (1.0, 2.5))),
    ("activation=relu", ("activation", "relu")),
    ("vary=a=uniform:0,1;b=uniform:2,3", ("vary", ("a=uniform:0,1", "b=uniform:2,3"))),
])
def test_settings(text, expected):
    assert parse_setting(text) == expected
    assert parse_setting(setting(*expected)) == expected


@pytest.mark.parametrize("text, expected", [
    ("num_task=3", "no field 'num_task'; did you mean num_tasks"), ("num_tasks", "expected FIELD=VALUE"),
    ("num_tasks=three", "num_tasks: expected an integer; given 'three'"),
    ("learn_alpha=1", "learn_alpha: expected true or false; given '1'"),
])
def test_bad_settings(text, expected):
    with pytest.raises(ValueError, match=expected):
        parse_setting(text)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="no preset 'point/nroml'; did you mean point/norml"):
        preset("point/nroml")


def test_help_explains_every_field():
    lines = explain_fields().splitlines()
    assert [line.split()[0] for line in lines] == [f.name for f in dataclasses.fields(Config)]
    assert all(len(line.split()) > 1 for line in lines)


def test_the_closest_preset():
    for name, config in PRESETS.items():
        assert closest(dataclasses.replace(config, seed=3, outer_rate=0.1)) == name
    assert closest(dataclasses.replace(NORML, env="Elsewhere-v0")) is None


def test_labels_tell_what_differs():
    configs = [NORML, preset("point/maml"), dataclasses.replace(NORML, seed=3)]
    assert labels(configs) == ["point/norml", "point/maml", "point/norml"]
    more = [dataclasses.replace(NORML, outer_steps=5, iterations=9), dataclasses.replace(NORML, hidden=(8, 8)),
            dataclasses.replace(NORML, env="Elsewhere-v0")]
    assert labels(configs + more) == [
        "point/norml", "point/maml", "point/norml", "point/norml iterations=9 outer_steps=5", "point/norml hidden=8,8",
        "Elsewhere-v0/norml"]
    assert labels([more[2], dataclasses.replace(more[2], clip=0.3)]) == [
        "Elsewhere-v0/norml clip=0.15", "Elsewhere-v0/norml clip=0.3"]


def test_an_environment_stands_for_all_its_presets():
    assert expand("point-goal") == ["point-goal/maml", "point-goal/norml"]
    assert expand("point-goal/norml,point-goal,point/dr") == ["point-goal/norml", "point-goal/maml", "point/dr"]
    with pytest.raises(ValueError, match="no preset 'pointgoal'"):
        expand("point/dr,pointgoal")
