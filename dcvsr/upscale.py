"""The command ``upscale``, which upscales any video four times.

Importing this module does not import torch.
"""

import logging
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import command, preflight

log = logging.getLogger(__name__)


@command("upscale")
def main(cfg: DictConfig) -> None:
    """Upscale one video and write a JSON report beside it."""
    preflight(cfg)
    from dcvsr.attention.observer import Observers
    from dcvsr.attention.probe import Probe
    from dcvsr.models.configured import configured_upscaler
    from dcvsr.models.cost import Ledger
    from dcvsr.models.sampling_bar import sampling_bar
    from dcvsr.models.upscaler import TiledUpscaler
    from dcvsr.runtime.device import require_memory
    from dcvsr.runtime.provenance import describe, write_csv, write_json
    from dcvsr.video.io import check_output, read_video, to_unit, write_video

    source, output = Path(cfg.input), Path(cfg.output)
    check_output(source, output, cfg.crf)
    started = time.monotonic()
    video = read_video(source, cfg.fps)
    frames, _, height, width = video.frames.shape
    upscaler, device = configured_upscaler(cfg)
    work = upscaler.work(frames, height, width)
    factor = upscaler.factor
    size = f"{factor * width}x{factor * height}"
    log.info(f"{source}: {frames} frames of {width}x{height} at {video.rate} fps -> {size}")
    log.info(f"work: {work} {'U-Net evaluations' if isinstance(upscaler, TiledUpscaler) else 'frames'}")
    log.info(f"weights: {upscaler.origin or 'none'}")
    require_memory(lambda n: upscaler.memory(n, height, width), frames, device)
    if cfg.dry_run:
        return
    upscaler.to(device)
    lr, ledger = to_unit(video.frames).to(device), Ledger(upscaler)
    probes = [Probe(source.stem)] if cfg.debug.attention else []
    read = time.monotonic()
    with sampling_bar(work, "upscale", cfg.sampler.steps) as bar, ledger.running(lr):
        hr = upscaler(lr, bar.advance, Observers([ledger, bar, *probes]))
    sampled = time.monotonic()
    write_video(output, [hr.cpu()], video, crf=cfg.crf)
    report = {
        "input": str(source),
        "output": str(output),
        "frames": frames,
        "size": [factor * width, factor * height],
        "rate": str(video.rate),
        "evaluations": work,
        "seconds": {"read": read - started, "upscale": sampled - read, "write": time.monotonic() - sampled},
        "cost": ledger.report(),
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    write_json(output.with_name(output.stem + ".json"), report)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(output.with_name(f"{output.stem}.{table.name}.csv"), table.columns, table.rows)
    log.info(f"{output}: {frames} frames of {size} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
