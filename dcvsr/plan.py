"""The command ``plan``: what upscaling a video takes, before it is done.

Importing this module does not import torch.
"""

import logging
from pathlib import Path

from omegaconf import DictConfig

from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


@command("plan")
def main(cfg: DictConfig) -> None:
    """Print the plan of ``upscale`` with the same keys, and write it as JSON."""
    from dcvsr.models.configured import configured_upscaler
    from dcvsr.models.svd_architecture import without_weights
    from dcvsr.models.upscaler import TiledUpscaler
    from dcvsr.runtime.provenance import write_json
    from dcvsr.upscaling.fitting import fitted
    from dcvsr.upscaling.job_plan import Plan
    from dcvsr.upscaling.reading import cut_rule, read_into
    from dcvsr.upscaling.target_size import to_target
    from dcvsr.upscaling.time_probe import probed
    from dcvsr.upscaling.video_job import require_place
    from dcvsr.video.part import Part
    from dcvsr.video.reader import open_frames

    part = Part.parsed(cfg.start, cfg.frames, cfg.seconds, cfg.region)
    cuts = cut_rule(cfg.engine.cuts, part.start)
    if has_no_weights := cfg.scale == "svd":
        cfg = without_weights(cfg)
    ways = {"alpha": cfg.alpha, "deinterlace": cfg.deinterlace, "on_damage": cfg.on_damage, "hdr": cfg.hdr}
    with open_frames(Path(cfg.input), cfg.fps, part, deep=True, **ways) as reader:
        upscaler, device = configured_upscaler(cfg)
        upscaler, target = to_target(upscaler, reader.whole, reader.shape, cfg.size, cfg.height, cfg.factor)
        require_place(part, upscaler, target)
        video = read_into(None, reader, cuts, target)
    upscaler = fitted(upscaler, video.longest, cfg.engine.memory, device)
    if not isinstance(upscaler, TiledUpscaler):
        raise UserError("plan is for the method itself; leave upscaler= out")
    plan = Plan.of(upscaler, video, device)
    if cfg.probe and not has_no_weights:
        upscaler.to(device)
        plan = plan.timed(probed(upscaler, (video.shape[0], *target.inputs), device))
    log.info(f"{cfg.input}\n{plan}")
    if cfg.json:
        write_json(Path(cfg.json), plan.record())


if __name__ == "__main__":
    main()
