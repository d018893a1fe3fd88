"""Keys of a configuration, and a check that added keys are read."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

HYDRA_S = {"_target_", "_args_", "_partial_", "_convert_", "_recursive_"}
"""Keys of an object that Hydra itself reads."""


def keys(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key below ``node``, a plain container, as ``a.b.c``, and its value."""
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}", value
        yield from keys(value, f"{prefix}{key}.")


def similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known key closest to ``name``, or None if none is similar."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), None)


def is_read(key: str, before: DictConfig, after: DictConfig) -> bool:
    """Tell if anything reads ``key``, which was added to ``before`` and gave ``after``.

    Objects read the arguments of their constructors and everything inside an argument that is a mapping. A
    mapping of named objects accepts another object. Other keys are read only if they existed before.
    """
    name, _, last = key.rpartition(".")
    parent = _select(before, name) if name else before
    if isinstance(parent, DictConfig) and last in parent:
        return True
    if key.partition(".")[0] not in before:
        return False
    owners = list(_owners(key, after))
    if owners:
        return all(_takes(target, argument) for target, _, argument in owners)
    value = _select(after, key)
    return isinstance(value, DictConfig) and "_target_" in value


def arguments(key: str, cfg: DictConfig) -> list[str]:
    """Return the keys that the objects above ``key`` read, as far as they can be imported."""
    return [f"{prefix}{name}" for target, prefix, _ in _owners(key, cfg) for name in _parameters(target)]


def _owners(key: str, cfg: DictConfig) -> Iterator[tuple[str, str, str]]:
    """Yield target, key with a dot, and the next part of ``key`` for each object above ``key``."""
    parts = key.split(".")
    for depth in range(1, len(parts)):
        name = ".".join(parts[:depth])
        node = _select(cfg, name)
        if isinstance(node, DictConfig) and "_target_" in node:
            yield str(node["_target_"]), f"{name}.", parts[depth]


def _takes(target: str, argument: str) -> bool:
    parameters = _parameters(target)
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return argument in HYDRA_S or argument in parameters or anything or not parameters


def _parameters(target: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of ``target`` by name; empty if it cannot be imported."""
    try:
        return dict(inspect.signature(get_object(target)).parameters)
    except (ImportError, ValueError, TypeError):
        return {}


def _select(cfg: DictConfig, key: str) -> Any:
    """Return the resolved value at ``key``; None if it is missing or cannot be resolved."""
    try:
        return OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return None
