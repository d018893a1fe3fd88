"""Composition of a command's configuration, and one-line errors for keys and values that it cannot have.

Importing this module does not import torch.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException, InstantiationException
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dcvsr.runtime import config_keys
from dcvsr.runtime.arguments import FILE_GROUPS, root
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import missing
from dcvsr.runtime.options import CONF, PACKAGES, is_group, options

PLUGINS = {"submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray", "optuna": "optuna"}
"""Launcher or sweeper of Hydra -> extra that installs it."""


def composed(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``conf/<config_name>.yaml`` with ``overrides``, inside a command and outside."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, list(overrides))
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, list(overrides))


@contextmanager
def own_hydra() -> Iterator[None]:
    """Compose from `CONF`, even inside another Hydra application, whose state comes back afterwards."""
    version = VersionBase.instance()
    other, base = GlobalHydra.instance().hydra, version.version_base
    GlobalHydra.instance().clear()
    try:
        name = JobRuntime.instance().get("name")
        with hydra.initialize_config_dir(str(CONF), job_name=name, version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = other
        version.version_base = base  # setbase() refuses the initial value


@contextmanager
def user_errors(config_name: str | None = None) -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf that a user's input caused into a `UserError` of one line."""
    try:
        yield
    except InstantiationException as error:
        refused = refused_value(error)
        if refused is None:
            raise
        raise UserError(refused) from error
    except (HydraException, OmegaConfBaseException) as error:
        plugin = re.search(r"Could not find 'hydra/((launcher|sweeper)/(\w+))", str(error))
        if plugin and (extra := PLUGINS.get(plugin[3])):
            raise missing(f"hydra/{plugin[2]}={plugin[3]}", f"hydra-{extra}-{plugin[2]}", extra) from error
        raise UserError(_composition_mistake(str(error), config_name)) from error


def refused_value(error: BaseException) -> str | None:
    """Return a constructor's complaint about a configured value, or None if the user did not cause it."""
    key = re.search(r"full_key: (\S+)", str(error))
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError | ValueError | TypeError):
        cause = cause.__cause__
    if cause is None:
        return None
    return str(cause) if isinstance(cause, UserError) or key is None else f"{key[1]}: {cause}"


def refuse_unknown_and_missing(cfg: DictConfig, config_name: str, overrides: Sequence[str]) -> None:
    """Refuse keys that nothing reads and keys without a value.

    Hydra accepts any ``+key=value``, and reports ``???`` only when the key is read.

    Raises:
        UserError: naming the key.
    """
    added = [override for override in overrides if override.startswith("+") and not is_choice(override)]
    before = composed(config_name, [one for one in overrides if one not in added]) if added else cfg
    for key in (override.partition("=")[0].lstrip("+") for override in added):
        if root(key) not in FILE_GROUPS and not config_keys.is_read(key, before, cfg):
            raise UserError(_unknown(key, before, config_keys.arguments(key, cfg)))
    missing = [f"{key}=..." for key, value in config_keys.keys(OmegaConf.to_container(cfg)) if value == "???"]
    if missing:
        raise UserError(f"missing {', '.join(missing)}; --help shows an example")


def _composition_mistake(message: str, config_name: str | None) -> str:
    unknown = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", message)
    if unknown is None or config_name is None:
        lines = message.partition("Config search path:")[0].splitlines()
        return "; ".join(filter(None, map(str.strip, lines)))
    return _unknown(unknown[1] or unknown[2], composed(config_name))


def _unknown(name: str, cfg: DictConfig, arguments: Sequence[str] = ()) -> str:
    """Return a line that names the key most like ``name``, of ``cfg`` or of its objects' ``arguments``."""
    keys = [key for key, _ in config_keys.keys(OmegaConf.to_container(cfg)) if "._" not in key]
    known = [*keys, *PACKAGES]
    group = root(name) if is_group(root(name)) and "." in name else ""
    dotted = name.replace("/", ".")
    near = config_keys.similar(dotted, [key for key in [*known, *arguments] if key.startswith(group)])
    if near == name:  # a dictionary that does not fit
        return f"{name}={{...}} has a key that the {name} chosen lacks; --help lists the choices and keys"
    if near and near != group:
        hint = f"did you mean '{near}'? "
    else:
        choices = "|".join(options(group))
        hint = f"the {group} chosen has none; choose {group}={choices}; " if choices else ""
    return f"unknown key '{name}': {hint}--help lists the keys"


def is_choice(override: str) -> bool:
    """Tell whether an override such as ``+experiment=stage1`` chooses from a group of options."""
    return is_group(re.split(r"[=@]", override)[0].lstrip("+"))
