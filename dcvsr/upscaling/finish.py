"""The command ``finish``: colours and strength of a video that was upscaled before, without sampling.

Importing this module does not import torch.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from dcvsr.upscaling.finishing import Finishing
    from dcvsr.video.memory import Metadata
    from dcvsr.video.reader import Reader

log = logging.getLogger(__name__)


@command("finish")
def main(cfg: DictConfig) -> None:
    """Write the finished video, and a JSON report beside it."""
    from dcvsr.runtime.provenance import write_json
    from dcvsr.runtime.warning_list import warning_list
    from dcvsr.upscaling.finishing import Finishing
    from dcvsr.upscaling.output_files import report_path, require_free_names
    from dcvsr.video.coding import Coding
    from dcvsr.video.io import check_output, write_video

    output, finishing = Path(cfg.output), Finishing(cfg.colour, cfg.strength)
    with warning_list() as warnings:
        require_free_names(output)
        check_output(Path(cfg.result), output, cfg.crf, cfg.audio)
        (frames, *size), metadata, channels = _read_through(cfg)
        coding = Coding(cfg.codec, cfg.crf, cfg.pix_fmt, cfg.codec_options or {})
        coding = coding.settled(output, metadata.bits, channels == 4, (size[0], size[1]))
        coding.check(output)
        write_video(
            *(output, _finished(cfg, finishing, frames), metadata, coding.crf, cfg.audio),
            **{"codec": coding.codec, "pix_fmt": coding.pix_fmt, "codec_options": coding.options},
        )
    report = {
        **{"input": str(cfg.input), "result": str(cfg.result), "output": str(output)},
        **{"frames": frames, "size": [size[1], size[0]], "colour_error": finishing.report()},
        **{"warnings": warnings, "settings": OmegaConf.to_container(cfg, resolve=True)},
    }
    write_json(report_path(output), report)
    log.info(f"{output}: {frames} frames of {size[1]}x{size[0]}")


def _read_through(cfg: DictConfig) -> tuple[tuple[int, int, int], "Metadata", int]:
    """Return the size, metadata and channels of the result, once it is known to belong to the input."""
    from tqdm import tqdm

    from dcvsr.upscaling.target_size import LEAST, MOST

    with _opened(cfg) as (lr, hr):
        factors = [large / small for large, small in zip(hr.shape, lr.shape, strict=True)]
        sizes = f"{cfg.input} is {lr.shape[1]}x{lr.shape[0]}, {cfg.result} {hr.shape[1]}x{hr.shape[0]}"
        if not all(LEAST <= factor <= MOST for factor in factors):
            raise UserError(f"{sizes}; pass a result that is {LEAST} to {MOST} times as large")
        frames = sum(1 for _ in tqdm(hr, "read", hr.length, unit="frame", leave=False, delay=1))
        if (given := sum(1 for _ in lr)) != frames:
            raise UserError(
                f"{cfg.input} has {given} frames, {cfg.result} has {frames}; pass the whole video "
                "of which it was made"
            )
        return (frames, *hr.shape), hr.metadata, hr.channels


def _finished(cfg: DictConfig, finishing: "Finishing", frames: int) -> Iterator["Tensor"]:
    from tqdm import tqdm

    from dcvsr.imaging import to_unit
    from dcvsr.upscaling.target_size import resampled

    with _opened(cfg) as (lr, hr):
        pairs = zip(lr, hr, strict=True)
        for small, large in tqdm(pairs, "finish", frames, unit="frame"):
            yield finishing(to_unit(large)[None], resampled(to_unit(small)[None], hr.shape))


@contextmanager
def _opened(cfg: DictConfig) -> Iterator[tuple["Reader", "Reader"]]:
    from dcvsr.video.reader import open_frames

    rates = (cfg.fps if Path(path).is_dir() else None for path in (cfg.input, cfg.result))
    with (
        open_frames(cfg.input, next(rates), alpha="ignore", deep=True) as lr,
        open_frames(cfg.result, next(rates), alpha="bicubic", deep=True) as hr,
    ):
        yield lr, hr


if __name__ == "__main__":
    main()
