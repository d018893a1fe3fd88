"""Composition of configurations, where Hydra repeats less: it took a quarter of the suite's time.

The choices of groups alone decide which files a configuration is merged from. What they give is kept for the
session; the other overrides are applied to a copy.
"""

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    IConfigRepository,
)
from hydra.core.override_parser.types import Override

from dcvsr.runtime.cli import CONF

_list, _merge = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
_load, _repository = ConfigRepository.load_config, CachingConfigRepository.__init__
_known: dict[object, Any] = {}


def remember_compositions() -> None:
    """Let Hydra read each file of ``conf/`` once, and merge the same files once."""
    _set(_remembered_list, _remembered_merge, _remembered_load, _shallow_repository)


@contextmanager
def forgotten_compositions() -> Iterator[None]:
    """Let Hydra compose as it does outside of tests."""
    _set(_list, _merge, _load, _repository)
    try:
        yield
    finally:
        remember_compositions()


def _set(*functions: Callable[..., Any]) -> None:
    defaults, merge, load, repository = functions
    config_loader_impl.create_defaults_list = defaults
    ConfigLoaderImpl._compose_config_from_defaults_list = merge  # type: ignore[method-assign]
    ConfigRepository.load_config = load  # type: ignore[method-assign]
    CachingConfigRepository.__init__ = repository  # type: ignore[method-assign]


def _remembered_list(
    repo: IConfigRepository, config_name: str | None, overrides_list: list[Override], **how: Any
) -> Any:
    groups = [one for one in overrides_list if repo.group_exists(one.key_or_group)]
    key = _sources(repo), config_name, tuple(one.input_line for one in groups), *how.items()
    if key not in _known or not _is_ours(repo):
        _known[key] = _list(repo, config_name, overrides_list, **how)
    settings = [
        one
        for one in overrides_list
        if not one.is_sweep_override() and (one not in groups or isinstance(one.value(), dict))
    ]
    return replace(_known[key], config_overrides=settings)


def _remembered_merge(self: ConfigLoaderImpl, defaults: list[Any], repo: IConfigRepository) -> Any:
    key = _sources(repo), tuple(map(repr, defaults))
    return _copied(key, repo, lambda: _merge(self, defaults, repo))


def _remembered_load(self: ConfigRepository, config_path: str) -> Any:
    return _copied((_sources(self), config_path), self, lambda: _load(self, config_path))


def _copied(key: object, repo: IConfigRepository, make: Callable[[], Any]) -> Any:
    """Return a copy of what ``make`` made; pickle copies in half of deepcopy's time."""
    if key not in _known or not _is_ours(repo):
        _known[key] = pickle.dumps(make())
    return pickle.loads(_known[key])


def _shallow_repository(self: CachingConfigRepository, delegate: IConfigRepository) -> None:
    """Copy the list of sources alone, which is all that Hydra replaces in the copy."""
    self.delegate, self.cache = copy.copy(delegate), {}


def _sources(repo: IConfigRepository) -> tuple[str, ...]:
    return tuple(f"{source.scheme()}://{source.path}" for source in repo.get_sources())


def _is_ours(repo: IConfigRepository) -> bool:
    """Return whether no file but those of ``conf/`` can change what is composed."""
    return all(name == f"file://{CONF}" for name in _sources(repo) if name.startswith("file:"))
