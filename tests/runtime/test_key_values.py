"""Values of keys are refused by type and range when a command is composed."""

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime import key_values
from dcvsr.runtime.arguments import FILE_KEYS
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.key_values import TAKES, kind_of, refuse_values
from dcvsr.runtime.options import CONF, PACKAGES
from dcvsr.runtime.value_kinds import NUMBER, WHOLE, Number

COMPOSED = {
    "upscale": ("guidance=dssag",),
    "plan": (),
    "plan_training": ("+experiment=stage2",),
    "prepare": (),
    "finish": (),
    "evaluate": ("data=unseen", "upscaler=swinir"),
    "train": ("+experiment=stage3", "lora=attention"),
    "degrade": (),
    "degrade_preview": (),
    "degrade_verify": (),
    "export": (),
    "report": (),
    "calibrate": ("data=pairs",),
    "reds": (),
    "figure3": (),
    "text2image": (),
}
"""Commands and choices."""

SWITCHED_OFF = ("propagation.sap", "propagation.tap", "module.teacher")
"""Groups of keys that an option sets to null."""


def _below(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a configuration that are neither groups nor Hydra's own; lists are values."""
    for name, value in node.items_ex(resolve=False) if isinstance(node, DictConfig) else ():
        if str(name).startswith("_") or name in ("hydra", "defaults"):
            continue
        if isinstance(value, DictConfig) and value._value() is not None and not value._is_interpolation():
            yield from _below(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _files() -> Iterator[tuple[Path, str]]:
    """Yield the YAML files of the configuration with the place of their keys."""
    for file in sorted(CONF.rglob("*.yaml")):
        group = str(file.relative_to(CONF).parent)
        is_global = (
            group == "." or "@package _global_" in file.read_text() or group in ("experiment", "sweep")
        )
        yield file, "" if is_global else f"{group}."


def test_every_key_has_a_known_type():
    """A new key whose default is null needs a line in TAKES."""
    unknown, keys = [], 0
    for file, prefix in _files():
        content: Any = OmegaConf.load(file)
        options = content.items() if file.stem in PACKAGES and file.parent == CONF else [("", content)]
        for _, option in options:
            package = PACKAGES.get(file.stem, "") if file.parent == CONF else ""
            start = prefix if package in ("", "_global_") else f"{package}."
            for key, value in _below(option, start):
                keys += 1
                plain = value._value() if hasattr(value, "_value") else value
                is_listed = key in FILE_KEYS or any(fnmatchcase(key, pattern) for pattern in TAKES)
                if plain is None and not is_listed and key not in SWITCHED_OFF:
                    unknown.append(f"{file.name}: {key}")
    assert not unknown
    assert keys > 500


@pytest.mark.parametrize("command", COMPOSED)
def test_a_number_that_an_object_takes_as_a_float_takes_fractions(command):
    """The default of such a key may be written as a whole number, which FRACTIONS or TAKES must tell."""
    cfg, wrong = _composed(command), []

    def visit(node: Any, prefix: str) -> None:
        for name, value in node.items_ex(resolve=False):
            key = f"{prefix}{name}"
            if isinstance(value, DictConfig) and not value._is_interpolation() and value._value() is not None:
                visit(value, f"{key}.")
        if "_target_" not in node or not str(node._target_).startswith("dcvsr."):
            return
        for name, parameter in signature(get_object(node._target_)).parameters.items():
            default = _value(cfg, f"{prefix}{name}")
            kind = kind_of(f"{prefix}{name}", lambda default=default: default)
            if parameter.annotation in (float, "float") and kind is WHOLE:
                wrong.append(f"{prefix}{name}")

    visit(cfg, "")
    assert not wrong


def _composed(command: str) -> DictConfig:
    return key_values._defaults(command, COMPOSED[command])


@cache
def _scalars(command: str) -> list[str]:
    cfg = _composed(command)
    keys = [key for key, value in _below(cfg) if not isinstance(value, DictConfig)]
    return sorted(keys)


def test_all_commands_are_tested():
    assert {path.stem for path in CONF.glob("*.yaml") if "hydra:" in path.read_text()} == {*COMPOSED, "house"}


BAD = st.sampled_from(
    ["abc", "maybe", "1/0", -1, 0, 99, 1e12, 1.5, math.nan, math.inf, -math.inf, True, None, [1], {"a": 1}]
)


VALUES = BAD | st.text(st.characters(codec="utf-8", exclude_characters="$")) | st.floats() | st.integers()


@settings(max_examples=100)
@given(st.sampled_from(list(COMPOSED)), st.data(), VALUES)
def test_any_value_of_any_key_is_taken_by_its_kind_or_refused_in_one_line(command, data, value):
    key = data.draw(st.sampled_from(_scalars(command)))
    default = _value(_composed(command), key)
    cfg = OmegaConf.create({})
    OmegaConf.update(cfg, key, value, force_add=True)
    said = _refused(cfg, command, [*COMPOSED[command], f"{key}={value}"])
    if said is not None:
        assert said.startswith(f"{key}=")
        assert " is not " in said
    elif isinstance(default, bool):
        assert isinstance(value, bool)
    elif isinstance(default, int | float) and key not in ("devices", "trainer.devices"):
        assert value is None or isinstance(value, int | float | str)
        assert not isinstance(value, bool)
        assert not (isinstance(value, float) and math.isnan(value))


def _given(override: str) -> DictConfig:
    """Return a configuration of what an override sets."""
    [parsed] = OverridesParser.create().parse_overrides([override])
    cfg = OmegaConf.create({})
    if not parsed.is_delete():
        OmegaConf.update(cfg, parsed.key_or_group, parsed.value(), force_add=True)
    return cfg


def _refused(cfg: DictConfig, command: str, overrides: list[str]) -> str | None:
    try:
        refuse_values(cfg, command, overrides)
    except UserError as error:
        return str(error)
    return None


def _value(cfg: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(cfg, key)
    except Exception:
        return None


@pytest.mark.parametrize("command", COMPOSED)
def test_every_default_is_of_the_kind_that_its_key_takes(command):
    cfg = _composed(command)
    for key in _scalars(command):
        value = _value(cfg, key)
        if value is not None:
            assert kind_of(key, lambda value=value: value).takes(value), key


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("upscale", "seed=abc", "seed=abc is not a whole number from 0 to 18446744073709551615"),
        ("upscale", "seed=-1", "seed=-1 is not a whole number from 0 to 18446744073709551615"),
        ("upscale", "fps=nan", "fps=nan is not a number from 0.001 to 10000, or null"),
        ("upscale", "fps=1/0", "fps=1/0 is not a number from 0.001 to 10000, or null"),
        ("upscale", "fps=1e12", "fps=1000000000000.0 is not a number from 0.001 to 10000, or null"),
        ("upscale", "crf=null", "crf=null is not a number from 0 to 51"),
        ("upscale", "dry_run=maybe", "dry_run=maybe is not true or false"),
        ("upscale", "engine.keep=perhaps", "engine.keep=perhaps is not true or false"),
        ("upscale", "engine.save_every=true", "engine.save_every=true is not a whole number of 1 or more"),
        ("upscale", "guidance.scale=abc", "guidance.scale=abc is not a number"),
        ("upscale", "tile.size=[1]", "tile.size=[1] is not a whole number"),
        ("upscale", "output=null", "output=null is not text"),
        ("plan", "probe=often", "probe=often is not true or false"),
        ("evaluate", "crf=abc", "crf=abc is not a number from 0 to 51"),
        ("train", "data.batch_size=abc", "data.batch_size=abc is not a whole number of 1 or more"),
        ("train", "module.optimizer.lr=abc", "module.optimizer.lr=abc is not a number above 0"),
        ("train", "stage=4", "stage=4 is not a whole number from 1 to 3"),
        ("train", "callbacks.lora.rank=0", "callbacks.lora.rank=0 is not a whole number of 1 or more"),
        ("train", "callbacks.ema.decay=high", "callbacks.ema.decay=high is not a number"),
        ("degrade", "workers=abc", "workers=abc is not a whole number of 0 or more"),
        ("degrade_verify", "exclude=a", "exclude=a is not a list; write 'exclude=[a]'"),
        ("degrade_preview", "seed=x", "seed=x is not a whole number from 0 to 18446744073709551615"),
        ("report", "pairs=3", "pairs=3 is not a group of keys"),
        ("report", "crops.side=0", "crops.side=0 is not a whole number of 1 or more"),
        ("export", "dtype=int8", "dtype=int8 is not one of float32, float16, bfloat16"),
        ("figure3", "step=half", "step=half is not a whole number of 0 or more, or null"),
        ("text2image", "batch=two", "batch=two is not a whole number of 1 or more"),
        ("calibrate", "device=gpu", "device=gpu is not one of auto, cpu, cuda"),
        ("reds", "dry_run=1", "dry_run=1 is not true or false"),
    ],
)
def test_a_wrong_value_is_named_with_what_its_key_takes(command, given, said):
    assert _refused(_given(given), command, [*COMPOSED[command], given]) == said


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("upscale", "fps=30000/1001"),
        ("upscale", "engine.memory=auto"),
        ("upscale", "propagation.sap.rate=null"),
        ("upscale", "propagation.tap=null"),
        ("upscale", "guidance.interval.hi=inf"),
        ("upscale", "upscaler.blend_time=inf"),
        ("upscale", "sampler.sigma_max=12.5"),
        ("upscale", "precision=bfloat16"),
        ("upscale", "seed=18446744073709551615"),
        ("train", "trainer.devices=[0,1]"),
        ("train", "module.optimizer.lr=1e-3"),
        ("train", "trainer.gradient_clip_val=null"),
        ("train", "module.noise_augmentation=[-3,0.5]"),
        ("upscale", "upscaler.batch=null"),
        ("train", "ckpt=null"),
        ("calibrate", "data.lr=lr"),
        ("train", "+trainer.max_time=00:01:00:00"),
        ("train", "~callbacks.ema"),
        ("degrade", "include=[240]"),
        ("degrade", "degradation.steps.jpeg1.quality.low=30.5"),
        ("report", "+pairs.a.left=a.mp4"),
        ("text2image", "sampler.sigma_min=0.04"),
    ],
)
def test_a_value_that_a_key_takes_is_not_refused(command, given):
    assert _refused(_given(given), command, [*COMPOSED[command], given]) is None


def test_a_wrong_value_ends_the_command_before_the_input_is_opened(run):
    done = run("upscale", "input=none.mp4", "output=b.mp4", "seed=abc")
    assert (done.code, done.err) == (
        2,
        "dcvsr: seed=abc is not a whole number from 0 to 18446744073709551615\n",
    )


@given(st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.none() | st.booleans())
def test_numbers_of_a_range_are_its_own(value):
    taken = Number(0, 51).takes(value)
    assert taken == (type(value) in (int, float) and 0 <= value <= 51)


def test_a_fraction_is_taken_where_a_default_is_whole_by_chance():
    assert kind_of("sampler.rho", lambda: 7) is NUMBER
    assert kind_of("tile.size", lambda: 7) is WHOLE
