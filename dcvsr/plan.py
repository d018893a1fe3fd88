"""The command ``plan``: what upscaling a video, or training with ``+experiment=``, takes before it is done.

Importing this module does not import torch.
"""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


def main() -> None:
    """Plan training where an experiment is chosen, else upscaling."""
    trains = any(argument.startswith("+experiment=") for argument in sys.argv[1:])
    (training if trains else upscaling)()


@command("plan")
def upscaling(cfg: DictConfig) -> None:
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

    if cfg.ranks < 1:
        raise UserError(f"ranks must be at least 1, got {cfg.ranks}")
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
    plan = Plan.of(upscaler, video, device, cfg.ranks, cfg.engine.save_every)
    if cfg.probe and not has_no_weights:
        upscaler.to(device)
        plan = plan.timed(probed(upscaler, (video.shape[0], *target.inputs), device))
    log.info(f"{cfg.input}\n{plan}")
    if cfg.json:
        write_json(Path(cfg.json), plan.record())


@command("plan_training")
def training(cfg: DictConfig) -> None:
    """Print the plan of ``train`` with the same keys, and write it as JSON."""
    from dcvsr.runtime.device import choose, trainer_precision
    from dcvsr.runtime.provenance import write_json
    from dcvsr.training.batch import accumulation
    from dcvsr.training.fake_step import FakeStep, autocast_dtype
    from dcvsr.training.training_plan import Batches, TrainingPlan

    device = cfg.device if cfg.device == "cuda" else choose(cfg.device).type
    precision = cfg.trainer.precision
    if precision == "auto":
        precision = "bf16-mixed" if device == "cuda" else trainer_precision("auto", choose("cpu"))
    processes = _processes(cfg.trainer.devices) * cfg.trainer.num_nodes
    size = cfg.datamodule.batch_size
    batches = Batches(size, accumulation(cfg.batch, size, processes), processes, cfg.trainer.max_steps)
    module, recomputes = _module_without_weights(cfg)
    step = FakeStep(module, size, cfg.data.frames, cfg.data.crop, autocast_dtype(precision), device)
    strategy = "fsdp" if "Sharded" in str(cfg.trainer.strategy) else "whole"
    rate = None if cfg.tflops is None else 1e12 * cfg.tflops
    averages, encodes = "ema" in cfg.callbacks, cfg.data.source == "clips"
    plan = TrainingPlan.of(step, batches, strategy, recomputes, averages, encodes, rate)
    log.info(f"stage {cfg.stage}, scale={cfg.scale}, {precision}\n{plan}")
    if cfg.json:
        write_json(Path(cfg.json), plan.record())


def _processes(devices: Any) -> int:
    """Return the number of devices of a node."""
    try:
        return len(devices) if not isinstance(devices, int | str) else int(devices)
    except ValueError as error:
        raise UserError(f"plan needs a number of devices, such as devices=4, got {devices}") from error


def _module_without_weights(cfg: DictConfig) -> tuple[Any, bool]:
    """Build the module that ``cfg`` trains, frozen and adapted, without reading weights.

    Returns:
        The module, and whether it uses gradient checkpointing, which is turned off.
    """
    from dcvsr.models.svd_architecture import without_weights

    recomputes = bool(cfg.model.denoiser.unet.get("checkpointing"))
    cfg = without_weights(cfg) if cfg.scale == "svd" else cfg.copy()
    with open_dict(cfg):
        cfg.upscaler.denoiser = "${model.denoiser}"
        cfg.module.metrics, cfg.module.compile, cfg.precision = {}, False, "float32"
        if "checkpointing" in cfg.model.denoiser.unet:
            cfg.model.denoiser.unet.checkpointing = False
    module = instantiate(cfg.module, _convert_="all")
    changing = [instantiate(cfg.callbacks[name]) for name in ("freeze", "lora") if name in cfg.callbacks]
    for callback in changing:
        callback.setup(SimpleNamespace(callbacks=changing), module, "fit")
    return module, recomputes


if __name__ == "__main__":
    main()
