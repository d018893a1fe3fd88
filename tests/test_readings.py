"""Each reading that docs/paper_notes.md offers is a key, and its default is the default."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import CONF
from dcvsr.runtime.options import options

NOTES = Path(__file__).parents[1] / "docs/paper_notes.md"
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in NOTES.read_text().splitlines()
    if line.startswith("| A")
]
OVERRIDE = re.compile(r"`([\w.]+=[^`]+)`")
DEFAULTS = [(row[0], override) for row in ROWS for override in OVERRIDE.findall(row[2])]
OTHERS = [(row[0], override) for row in ROWS for override in OVERRIDE.findall(row[3])]
TRAINING = ("module", "trainer", "callbacks")


@cache
def _composed(trains: bool, *overrides: str) -> DictConfig:
    command = ["train", "+experiment=stage2"] if trains else ["evaluate"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command[0], ["scale=svd", *command[1:], *overrides])


def _value(override: str, *given: str) -> Any:
    """Value of the key of ``override`` where ``given`` overrides are."""
    key = override.partition("=")[0]
    value = OmegaConf.select(_composed(key.startswith(TRAINING), *given), key, throw_on_missing=True)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@pytest.mark.parametrize(("reading", "override"), DEFAULTS)
def test_the_default_that_the_notes_name_is_the_default(reading: str, override: str) -> None:
    assert _value(override, override) == _value(override), reading


@pytest.mark.parametrize(("reading", "override"), OTHERS)
def test_a_reading_that_the_notes_offer_is_a_key(reading: str, override: str) -> None:
    assert _value(override, override) != _value(override), reading


def test_the_notes_offer_or_refuse_every_reading() -> None:
    refused = NOTES.read_text().partition("## Not offered")[2]
    told = {row[0] for row in ROWS} | set(re.findall(r"\bA\d+\b", refused))
    assert told == {f"A{number}" for number in range(1, 30)}


def test_every_alternative_of_the_sweep_is_a_reading_of_the_notes() -> None:
    letters = {name.split("_")[0] for name in options("alternative") if name != "default"}
    assert letters <= {f"a{int(row[0][1:]):02d}" for row in ROWS}
