"""Draw the parameters of REDS4's and UDM10's LR without their frames: ``python experiments/lr_sets/draw.py``.

Parameters depend on the seed and a clip's name; of its frames they only need their number and size.
"""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dcvsr.degrade.manifest import Entry, Manifest
from dcvsr.degrade.parameters import DrawnParameters
from dcvsr.runtime.cli import CONF

HERE = Path(__file__).parent
SEED = 0
Size = tuple[int, int, int]
"""Frames, width, height."""

REDS4: dict[str, Size] = dict.fromkeys(("000", "011", "015", "020"), (100, 1280, 720))
UDM10: dict[str, Size] = dict.fromkeys(
    (
        "archpeople",
        "archwall",
        "auditorium",
        "band",
        "caffe",
        "camera",
        "clap",
        "lake",
        "photography",
        "polyflow",
    ),
    (32, 1272, 720),
)
"""Names and size as published: the data are not here to look at."""


def drawn(clips: dict[str, Size]) -> Manifest:
    """Return the parameters that `python -m dcvsr.degrade` draws for these clips."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("degrade", ["input=hr", "output=lr"]).degradation
    parameters = DrawnParameters(instantiate(cfg, _convert_="all"), SEED)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    manifest = Manifest(SEED, "realbasicvsr", settings)
    for name, (frames, width, height) in clips.items():
        lr_size = width // cfg.factor, height // cfg.factor
        params = parameters(name, (frames, 3, height, width))
        manifest = manifest.with_clip(name, Entry(name, frames, (width, height), lr_size, params))
    return manifest


if __name__ == "__main__":
    for name, clips in {"reds4": REDS4, "udm10": UDM10}.items():
        drawn(clips).write(HERE / f"{name}.json")
