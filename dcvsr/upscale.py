"""The command ``upscale``, which upscales any video four times, and `load`.

Importing this module does not import torch.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.arguments import root
from dcvsr.runtime.cli import command, preflight, prepared
from dcvsr.runtime.composition import composed, own_hydra, refuse_unknown_and_missing, user_errors
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    import torch

    from dcvsr.diffusion.protocols import Upscaler

log = logging.getLogger(__name__)

SHIPPED_MODELS = ("nano",)
"""Names of the shipped models."""

OF_FILES = {"input", "output", "crf", "fps", "dry_run", "debug"}
"""Keys of the command that concern files; `load` refuses them."""


@command("upscale")
def main(cfg: DictConfig) -> None:
    """Upscale one video and write a JSON report beside it."""
    preflight(cfg)
    from tqdm import tqdm

    from dcvsr.attention.observer import Observers
    from dcvsr.attention.probe import Probe
    from dcvsr.models.configured import configured_upscaler
    from dcvsr.models.cost import Ledger
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
    log.info(f"{source}: {frames} frames of {width}x{height} at {video.rate} fps -> {size}, {work} tiles")
    log.info(f"weights: {upscaler.origin or 'none'}")
    require_memory(upscaler.memory(frames, height, width), frames, device)
    if cfg.dry_run:
        return
    upscaler.to(device)
    lr, ledger = to_unit(video.frames).to(device), Ledger(upscaler)
    probes = [Probe(source.stem)] if cfg.debug.attention else []
    read = time.monotonic()
    with tqdm(total=work, desc="upscale", unit="tile") as bar, ledger.running(lr):
        hr = upscaler(lr, bar.update, Observers([ledger, *probes]))
    sampled = time.monotonic()
    write_video(output, [hr.cpu()], video, crf=cfg.crf)
    report = {
        "input": str(source),
        "output": str(output),
        "frames": frames,
        "size": [factor * width, factor * height],
        "rate": str(video.rate),
        "tiles": work,
        "seconds": {"read": read - started, "upscale": sampled - read, "write": time.monotonic() - sampled},
        "cost": ledger.report(),
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    write_json(output.with_name(output.stem + ".json"), report)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(output.with_name(f"{output.stem}.{table.name}.csv"), table.columns, table.rows)
    log.info(f"{output}: {frames} frames of {size} in {time.monotonic() - started:.0f} s")


@dataclass(frozen=True)
class LoadedUpscaler:
    """An upscaler on its device, ready to call.

    Attributes:
        upscaler: the method, or the baseline that ``overrides`` chose.
        device: device of its weights.
    """

    upscaler: "Upscaler"
    device: "torch.device"

    def __call__(self, lr: "torch.Tensor") -> "torch.Tensor":
        """Upscale a video as ``python -m dcvsr.upscale`` does, with the same noise at each call.

        Args:
            lr: floats ``f c h w`` in [0, 1], RGB, of any length and size, on any device.

        Returns:
            HR ``f c 4h 4w``, float32 in [0, 1], on the upscaler's device.

        Raises:
            UserError: if ``lr`` is not such a video, or its HR does not fit into memory.
        """
        from dcvsr.runtime.device import require_memory

        if lr.ndim != 4 or lr.shape[1] != 3 or not lr.numel() or not lr.is_floating_point():
            raise UserError(f"pass LR as floats f c h w with c = 3, got {lr.dtype} {tuple(lr.shape)}")
        if not (lr.min() >= 0 and lr.max() <= 1):
            raise UserError(f"pass LR in [0, 1], got {lr.min():g} to {lr.max():g}; divide bytes by 255")
        frames, _, height, width = lr.shape
        require_memory(self.upscaler.memory(frames, height, width), frames, self.device)
        return self.upscaler(lr.to(self.device).float())


def load(
    weights: str | Path = "nano", *, device: str = "auto", overrides: Sequence[str] = ()
) -> LoadedUpscaler:
    """Load the upscaler that ``python -m dcvsr.upscale`` runs.

    >>> upscaler = dcvsr.load("nano")
    >>> hr = upscaler(lr)

    Args:
        weights: ``nano``, the model that comes with the package, or a checkpoint of ``dcvsr.train``;
            the scale is read from the file.
        device: ``auto``, ``cpu`` or ``cuda``.
        overrides: ``key=value`` as on the command line, such as ``seed=1`` or ``sampler.steps=4``.

    Raises:
        UserError: if the weights, the device or an override cannot be had; the message is one line.
    """
    for override in overrides:
        key = override.partition("=")[0].lstrip("~")
        if root(key) in OF_FILES:
            raise UserError(
                f"load takes no {override}: it reads and writes no file; pass frames to the result"
            )
    given = [*_choices(weights), f"device={device}", "input=null", "output=null", *overrides]
    with own_hydra(), user_errors("upscale"):
        arguments = prepared(given)
        cfg = composed("upscale", arguments)
        refuse_unknown_and_missing(cfg, "upscale", arguments)
        preflight(cfg)
        from dcvsr.models.configured import configured_upscaler

        upscaler, chosen = configured_upscaler(cfg)
    upscaler.to(chosen)
    return LoadedUpscaler(upscaler, chosen)


def _choices(weights: str | Path) -> list[str]:
    """Return the overrides that choose ``weights``."""
    if str(weights) in SHIPPED_MODELS:
        return [f"scale={weights}"]
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(
            f"{weights} is not a model: choose {' or '.join(SHIPPED_MODELS)}, or name a checkpoint, such as "
            "outputs/train/.../checkpoints/last.ckpt"
        )
    from dcvsr.models.checkpoint import open_checkpoint

    return [f"scale={open_checkpoint(path).scale}", f"ckpt={path}"]


if __name__ == "__main__":
    main()
