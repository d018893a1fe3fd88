"""``python -m dcvsr.figures.figure3 input=clip.mp4 output=figure3.png``: Fig. 3 of the paper for any clip."""

import logging
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import command, preflight
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import write_whole
from dcvsr.upscaling.output_files import report_path, require_free_names

log = logging.getLogger(__name__)

PAPER_STEP = 9 / 25
"""Position of the figure's step: t = 16 of 25, counted down, so 9 of 25 steps precede it."""


@command("figure3")
def main(cfg: DictConfig) -> None:
    """Draw the unconditional estimate at one step, without and with Eq. (7); write its settings as JSON."""
    preflight(cfg)
    source, output = Path(cfg.input), Path(cfg.output)
    _check_output(source, output)
    from torch import Tensor

    from dcvsr.diffusion.guidance import DSSAG
    from dcvsr.diffusion.protocols import Denoise
    from dcvsr.diffusion.schedule import suppression
    from dcvsr.figures.picture_grid import picture, png, side_by_side
    from dcvsr.models.configured import configured_upscaler
    from dcvsr.models.denoiser import Condition
    from dcvsr.models.sampling_bar import sampling_bar
    from dcvsr.models.upscaler import TiledUpscaler
    from dcvsr.runtime.device import require_memory
    from dcvsr.runtime.provenance import describe, write_json
    from dcvsr.video.io import read_video, to_unit

    video = read_video(source).frames
    upscaler, device = configured_upscaler(cfg)
    if not isinstance(upscaler, TiledUpscaler):
        raise UserError("Fig. 3 shows estimates of DC-VSR; use upscaler=dcvsr")
    guidance, sampler = upscaler.guidance, upscaler.sampler
    if not isinstance(guidance, DSSAG):
        raise UserError("Fig. 3 shows DSSAG; leave guidance=dssag unchanged")
    step = round(PAPER_STEP * sampler.steps) if cfg.step is None else cfg.step
    _require_index("step", step, sampler.steps, "of the sampler")
    _require_index("frame", cfg.frame, len(video), f"of {source}")
    window = _window(cfg.frame, len(video), upscaler.grid.frames)
    height, width = video.shape[-2:]
    size, sigma = (len(window), height, width), sampler.sigmas[step]
    branches = [(i, guidance.evaluations(level)) for i, level in sampler.evaluations if i < step]
    work = sum(upscaler.evaluations(size, *each) for each in [*branches, (step, 1), (step, 1)])
    gamma = suppression(sigma, guidance.rho, guidance.sigma_min, guidance.sigma_max)
    log.info(
        f"{source}: frame {cfg.frame} in the window of {window.start} to {window.stop - 1}; "
        f"{work} U-Net evaluations"
    )
    log.info(f"step {step} of {sampler.steps}: sigma = {sigma:.4g}, gamma = {gamma:.4g}")
    log.info(f"weights: {upscaler.origin or 'none'}")
    require_memory(lambda n: upscaler.memory(n, height, width), len(window), device)
    if cfg.dry_run:
        return
    upscaler.to(device)
    lr = to_unit(video[window.start : window.stop]).to(device)

    def unconditional(denoise: Denoise[Condition], x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return denoise(x, sigma, guidance.unconditional(condition))

    with sampling_bar(work, "figure3") as bar:
        views = upscaler.estimates(lr, step, [unconditional, guidance.suppressed], bar.advance)
    labels = "(a) without DSSAG", f"(b) with DSSAG: gamma = {gamma:.3g}"
    shown = [view[cfg.frame - window.start].cpu() for view in views]
    write_whole(output, png(picture(side_by_side(shown, labels))))
    report = {
        "input": str(source),
        "output": str(output),
        "frame": cfg.frame,
        "frames": [window.start, window.stop - 1],
        "step": step,
        "steps": sampler.steps,
        "sigma": sigma,
        "gamma": gamma,
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    write_json(report_path(output), report)
    log.info(f"{output}: {' | '.join(labels)}")


def _check_output(source: Path, output: Path) -> None:
    """Check, before any long computation, that the picture can be written; it may replace another."""
    if output.suffix.lower() != ".png":
        raise UserError(f"cannot write {output}: end it in .png")
    if source.exists() and output.exists() and output.samefile(source):
        raise UserError(f"{output} is the input itself; name another output")
    require_free_names(output)
    if output.is_dir():
        raise UserError(f"{output} is a folder; name a file")
    if not os.access(output.resolve().parent, os.W_OK):
        raise UserError(f"cannot write {output}: {output.parent} is not a writable folder; name another")


def _require_index(name: str, index: Any, length: int, whole: str) -> None:
    if not isinstance(index, int) or not 0 <= index < length:
        raise UserError(f"{name} must be one of the {length} {whole}, 0 to {length - 1}, got {index}")


def _window(frame: int, frames: int, length: int) -> range:
    """Return the temporal window around ``frame``; its estimate needs no other frames."""
    start = max(0, min(frame - length // 2, frames - length))
    return range(start, min(start + length, frames))


if __name__ == "__main__":
    main()
