"""Instantiation of those parts of a configuration whose weights and packages are present."""

import logging
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.runtime.composition import refused_value

log = logging.getLogger(__name__)


def available(parts: DictConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """Instantiate ``parts``; return them by name, and the reasons why others are missing.

    A part is missing if its weights or a package are absent; a warning names it.
    """
    made, missing = {}, {}
    for name, part in parts.items():
        try:
            made[str(name)] = instantiate(part)
        except InstantiationException as error:
            if (reason := refused_value(error)) is None:
                raise
            missing[str(name)] = reason
            log.warning(f"{name} is missing, and its scores stay empty: {reason}")
    return made, missing


def only_available(parts: DictConfig) -> dict[str, Any]:
    """Instantiate ``parts`` and return them by name; a warning names each that is missing."""
    return available(parts)[0]
