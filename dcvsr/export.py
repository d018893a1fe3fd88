"""The command ``export``, which writes a trained network as a folder in diffusers' layout."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.runtime.cli import command, preflight
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from dcvsr.models.denoiser import Denoiser

log = logging.getLogger(__name__)


@command("export")
def main(cfg: DictConfig) -> None:
    """Export one network."""
    output = Path(cfg.output)
    _require_new(output)
    if cfg.with_pipeline and cfg.scale != "svd":
        raise UserError(
            f"with_pipeline=true needs scale=svd: scale={cfg.scale} has no VAE and no CLIP encoder"
        )
    preflight(cfg)
    if cfg.hub is not None:
        from dcvsr.weights.hub import require_writable

        require_writable(cfg.hub)
    import torch

    from dcvsr.models.model_card import model_card, stated_licence
    from dcvsr.runtime.files import write_whole

    denoiser: Denoiser = instantiate(cfg.denoiser, _convert_="all")
    denoiser.to(getattr(torch, cfg.dtype))
    size = sum(p.numel() * p.element_size() for p in denoiser.unet.parameters())
    origin = denoiser.origin or "initial weights"
    log.info(f"{origin} -> {output}: U-Net of {size / 1e6:.0f} MB in {cfg.dtype}")
    licence = stated_licence(cfg.licence, denoiser.origin, cfg.scale)
    log.info(f"licence: {licence or 'none stated; licence=... states one'}")
    if cfg.dry_run:
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            made = Path(scratch) / output.name
            made.mkdir()
            _write(denoiser, made, cfg)
            write_whole(made / "README.md", model_card(denoiser, made, cfg.dtype, licence, cfg.scale))
            made.rename(output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}; give another output=") from error
    log.info(f"{output}: load it with ckpt={output}")
    if cfg.hub is not None:
        from dcvsr.weights.hub import upload

        log.info(f"uploaded to {upload(output, cfg.hub, cfg.private)}")


def _require_new(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} already exists; give another output= or remove it")


def _write(denoiser: "Denoiser", folder: Path, cfg: DictConfig) -> None:
    """Write the U-Net, or the pipeline with it, into ``folder``."""
    if not cfg.with_pipeline:
        denoiser.unet.save_pretrained(folder)
        return
    from dcvsr.models.svd_pipeline import pipeline_of

    pipeline_of(denoiser.unet, cfg.model.weights, denoiser.unet.dtype).save_pretrained(folder)


if __name__ == "__main__":
    main()
