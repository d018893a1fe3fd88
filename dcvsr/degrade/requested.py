"""Degradation, clips and parameters that a command line of ``dcvsr.degrade`` asks for.

Importing this module does not import torch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Request:
    """HR clips and the parameters of their degradation.

    Attributes:
        clips: name -> HR.
        parameters: drawn, or replayed from a manifest.
        seed: seed of the draw.
        option: name of the degradation.
        recorded: the manifest whose parameters are replayed, or None.
    """

    clips: Mapping[str, Any]
    parameters: Any
    seed: int
    option: str
    recorded: Any

    def summary(self, hr: str, folder: Path, factor: int) -> str:
        """Describe the clips and the approximate size of their LR as PNG files."""
        frames = sum(clip.shape[0] for clip in self.clips.values())
        size = self.size(self.clips, factor)
        return f"{hr}: {len(self.clips)} clips, {frames} frames -> {folder}, about {size / 1e6:.0f} MB"

    def size(self, names: Collection[str], factor: int) -> int:
        """Return the approximate bytes of the LR of some clips as PNG files, 2 a pixel."""
        shapes = [self.clips[name].shape for name in names]
        return round(2 * sum(f * h * w for f, _, h, w in shapes) / factor**2)


def requested(cfg: DictConfig, degradation: Any) -> Request:
    """Find the clips and draw or replay the parameters that ``cfg`` asks for.

    Raises:
        UserError: if a clip or the manifest cannot be read, or a clip's size is not a multiple of the factor.
    """
    from dcvsr.degrade.hr_clips import require_multiples, select_clips, sources_in
    from dcvsr.degrade.manifest import read
    from dcvsr.degrade.parameters import DrawnParameters, Replayed

    hr = Path(cfg.input)
    if cfg.manifest:
        path = Path(cfg.manifest)
        recorded = read(path)
        clips = clips_of(recorded, path, cfg)
        found = Request(clips, Replayed(recorded.clips, path), recorded.seed, recorded.degradation, recorded)
    else:
        clips = select_clips(sources_in(hr), hr, _names(cfg, "include"), _names(cfg, "exclude") or ())
        option = HydraConfig.get().runtime.choices["degradation"]
        found = Request(clips, DrawnParameters(degradation, cfg.seed), cfg.seed, option, None)
    require_multiples(clips, degradation.factor)
    return found


def configured_degradation(cfg: DictConfig) -> Any:
    """Instantiate ``cfg.degradation``.

    Raises:
        UserError: if it does not make LR.
    """
    from dcvsr.degradation.pipeline import NO_LR, Given

    degradation = instantiate(cfg.degradation, _convert_="all")
    if isinstance(degradation, Given):
        raise UserError(NO_LR)
    return degradation


def clips_of(manifest: Any, path: Path, cfg: DictConfig) -> dict[str, Any]:
    """Return HR of the manifest's clips that ``cfg`` includes.

    Raises:
        UserError: if the degradation of ``cfg`` is not the manifest's, or a clip is missing.
    """
    from dcvsr.degrade.hr_clips import select_clips, sources_in

    manifest.require_settings(settings(cfg), path)
    names = select_clips(manifest.clips, path, _names(cfg, "include"), _names(cfg, "exclude") or ())
    return select_clips(sources_in(Path(cfg.input)), Path(cfg.input), names, ())


def settings(cfg: DictConfig) -> Any:
    """Return the degradation's settings as plain values."""
    return OmegaConf.to_container(cfg.degradation, resolve=True)


def progress_bar(clips: Mapping[str, Any], jobs: Mapping[str, Any], label: str) -> Any:
    """Return a bar that counts the frames of ``jobs``; it shows only on a terminal."""
    from tqdm import tqdm

    return tqdm(total=sum(clips[name].shape[0] for name in jobs), desc=label, unit="frame", disable=None)


def _names(cfg: DictConfig, key: str) -> list[str] | None:
    """Return names of clips as strings; Hydra parses ``240`` as a number."""
    names = cfg[key]
    return None if names is None else [str(name) for name in names]
