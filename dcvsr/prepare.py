"""The command ``prepare``: latents of degraded training crops, made once for many epochs of training.

Importing this module does not import torch.
"""

import logging
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.runtime.cli import command, preflight
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import require_space, size_text

log = logging.getLogger(__name__)


@command("prepare")
def main(cfg: DictConfig) -> None:
    """Write the shards of a set of latents that are missing."""
    part, parts = _part(cfg.part)
    preflight(cfg)
    from dcvsr.data.latent_set import LatentSet, Layout
    from dcvsr.degradation.pipeline import Given
    from dcvsr.runtime.hashing import software
    from dcvsr.training.latent_contents import contents
    from dcvsr.training.sample_draws import require_law

    require_law(cfg.module.noise_augmentation)
    data = instantiate(cfg.datamodule, _convert_="all")
    if isinstance(data.keywords["degradation"], Given) and cfg.draws > 1:
        raise UserError(f"degradation=none has one LR for each crop, so draws must be 1, got {cfg.draws}")
    clips = data.keywords["training"]
    data = data(validation=clips, steps=1)
    encoders = instantiate(cfg.encoders, _convert_="all")
    layout = Layout(cfg.seed, cfg.crops, cfg.draws, cfg.shard, cfg.dtype)
    latents = LatentSet.below(Path(cfg.latents), contents(cfg, clips, encoders), layout)
    own = range(part, len(latents.shards), parts)
    missing = [shard for shard in latents.missing() if shard in own]
    crops = sum(len(latents.crops(shard)) for shard in missing)
    size = _crop_bytes(cfg, encoders)
    log.info(
        f"{latents.folder}: {cfg.crops} crops, {latents.samples} samples in {len(latents.shards)} shards, "
        f"{size_text(size * cfg.crops)}; to make: {crops} crops in {len(missing)} shards, "
        f"{size_text(size * crops)}"
    )
    require_space(latents.folder, size * crops, "the rest", "name another disk, latents=FOLDER")
    if cfg.dry_run:
        return
    latents.describe(software())
    if missing:
        _make(cfg, latents, missing, data, encoders)
    log.info(f"train on it with data.source=latents latents={latents.folder}")


def _make(cfg: DictConfig, latents: Any, missing: list[int], data: Any, encoders: Any) -> None:
    from torch import nn
    from tqdm import tqdm

    from dcvsr.runtime.device import choose
    from dcvsr.training.latent_writing import Encoding, made

    device = choose(cfg.device)
    for network in (encoders.upsample, encoders.latents.autoencoder, encoders.image_encoder):
        if isinstance(network, nn.Module):
            network.to(device)
    encode = Encoding(encoders, cfg.seed, cfg.module.noise_augmentation)
    total = cfg.draws * sum(len(latents.crops(shard)) for shard in missing)
    targets = encoders.latents.target_sees_up
    with tqdm(total=total, desc="prepare", unit="sample", smoothing=0, disable=None) as bar:
        for count in made(latents, missing, data, encode, targets, device):
            bar.update(count)


def _crop_bytes(cfg: DictConfig, encoders: Any) -> int:
    """Return the bytes of a crop with all its draws."""
    import torch

    from dcvsr.data.latent_set import sample_bytes

    coder, frames = encoders.latents.autoencoder, cfg.data.frames
    side = cfg.data.crop // coder.factor
    embeddings = frames if encoders.image_frames == "each" else 1
    return sample_bytes(
        (frames, coder.channels, side, side),
        (embeddings, encoders.image_encoder.size),
        cfg.draws,
        not encoders.latents.target_sees_up,
        getattr(torch, cfg.dtype).itemsize,
    )


def _part(text: str | None) -> tuple[int, int]:
    """Parse ``1/4`` to (0, 4), the first of four parts; None is the whole.

    Raises:
        UserError: if it is not a part.
    """
    if text is None:
        return 0, 1
    first, _, count = str(text).partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise UserError(f"part={text} is not a part; write part=1/4 for the first of four")
    return int(first) - 1, int(count)


if __name__ == "__main__":
    main()
