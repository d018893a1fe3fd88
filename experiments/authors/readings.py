"""Readings of the paper as settings of an upscaler, and the networks that they share."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from dcvsr.runtime.cli import CONF
from dcvsr.runtime.config_keys import keys
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler

PARTS = ("upsample", "denoiser", "latents", "image_encoder")
"""Arguments of the upscaler that hold networks; the others are settings of the sampling."""

Readings = Mapping[str, dict[str, Any]]
"""Name -> the settings that the reading changes."""


def chosen_readings(chosen: Sequence[str]) -> Readings:
    """Return the readings of conf/alternative.yaml with these names or of these items, or all.

    Raises:
        UserError: if there is no such reading.
    """
    every: Any = OmegaConf.to_container(OmegaConf.load(CONF / "alternative.yaml"))
    del every["default"]
    known = {name: {name, name.partition("_")[0]} for name in every}
    if unknown := [one for one in chosen if not any(one in names for names in known.values())]:
        raise UserError(f"{unknown[0]} is not a reading; choose readings={','.join(every)}")
    return {name: every[name] for name in every if not chosen or not known[name].isdisjoint(chosen)}


def applied(base: DictConfig, readings: Readings) -> tuple[dict[str, DictConfig], dict[str, str]]:
    """Return the settings of each reading that changes ``base``, and a reason for each of the others."""
    settings, left_out, before = {}, {}, plain(base)
    for name, reading in readings.items():
        leaves = [key for key, value in keys(reading) if not isinstance(value, dict)]
        if absent := [key for key in leaves if not _has(base, key)]:
            left_out[name] = f"scale={base.scale} has no {absent[0]} under these settings"
            continue
        cfg = OmegaConf.merge(base, reading)
        if plain(cfg) == before:
            left_out[name] = "it is the default under these settings"
        else:
            settings[name] = cfg
    return settings, left_out


def _has(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent)
    return isinstance(node, DictConfig) and name in node


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved settings as plain values."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


class Networks:
    """The networks of one configuration in memory, which readings of the sampling share.

    Args:
        cfg: settings of an upscaler. Their seed determines initial weights, those of ``ckpt=null``.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._load(cfg)

    def load(self, cfg: DictConfig) -> None:
        """Replace the networks by those of ``cfg``, on the same device, if they differ."""
        if not self.fit(cfg):
            del self.upscaler  # before the next are loaded: memory may not hold both
            self._load(cfg)
            self.upscaler.to(self.device)

    def fit(self, cfg: DictConfig) -> bool:
        """Tell whether ``cfg`` has these networks."""
        return _of_networks(cfg) == self._settings

    def sampled(self, cfg: DictConfig, seed: int) -> "TiledUpscaler":
        """Return these networks as an upscaler with the sampling of ``cfg`` and this seed."""
        cfg = copy.deepcopy(cfg)
        with open_dict(cfg):
            for part in PARTS:
                del cfg.upscaler[part]
        shared = {part: getattr(self.upscaler, part) for part in PARTS}
        return instantiate(cfg.upscaler, _partial_=True)(**shared).with_seed(seed)

    def _load(self, cfg: DictConfig) -> None:
        import torch

        from dcvsr.models.configured import configured_upscaler

        torch.manual_seed(cfg.seed)
        upscaler, self.device = configured_upscaler(cfg)
        self.upscaler: TiledUpscaler = upscaler  # type: ignore[assignment]
        self._settings = _of_networks(cfg)


def _of_networks(cfg: DictConfig) -> dict[str, Any]:
    settings = plain(cfg)["upscaler"]
    return {part: settings[part] for part in PARTS}
