"""The YAML tree, and its groups of options that are one file each instead of a file per option.

Importing this module gives Hydra these options.
"""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

_HERE = Path(__file__).resolve().parents[1]
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
"""The YAML tree: inside the package in an installed wheel, beside it in a checkout."""

PACKAGES = {
    "alternative": "_global_",
    "image_guidance": "guidance",
    "metrics": "metrics",
    "metrics.flow": "flow",
    "table2": "_global_",
    "teacher.guidance": "module",
}
"""Group that ``conf/<group>.yaml`` lists, option by option -> place of its keys in the configuration."""


def is_group(name: str) -> bool:
    """Tell whether ``name``, such as ``guidance``, is a group of options."""
    return name in PACKAGES or (CONF / name).is_dir()


def options(group: str) -> list[str]:
    """Return the options of a group in alphabetical order; none if it is not a group."""
    if group in PACKAGES:
        return sorted(_listed(group))
    return sorted(file.stem for file in (CONF / group).glob("*.yaml")) if group else []


def _listed(group: str) -> dict[str, Any]:
    listed: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{group}.yaml"))
    return {str(name): content for name, content in listed.items()}


def _register() -> None:
    for group, package in PACKAGES.items():
        for name, content in _listed(group).items():
            ConfigStore.instance().store(group=group, name=name, node=content, package=package)


_register()
