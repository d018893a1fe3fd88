"""Creation of one LR clip: degraded frame by frame, written, and scored against HR.

Axes: f frames, c colours, h w pixels.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.walk import Params
from dcvsr.degrade.clip_hash import Digest
from dcvsr.degrade.hr_clips import OpenClip, Source
from dcvsr.degrade.manifest import Entry
from dcvsr.degrade.parameters import Parameters
from dcvsr.degrade.worker_pool import Tick
from dcvsr.imaging import to_bytes, to_unit, upsample
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames


@dataclass(frozen=True)
class Build:
    """Job that makes the LR of a clip.

    Args:
        source: HR clip.
        degradation: makes LR from HR.
        parameters: source of the degradation's parameters.
        metrics: constructs the metrics of the fingerprint.
        folder: output folder; an existing one is replaced.
    """

    source: Source
    degradation: Degradation
    parameters: Parameters
    metrics: Callable[[], Mapping[str, VideoMetric]]
    folder: Path

    def __call__(self, tick: Tick) -> Entry:
        """Write the LR frames and return the manifest entry; an exception leaves no folder.

        Raises:
            UserError: if the clip cannot be read or does not match the parameters, or LR cannot be written.
        """
        opened = self.source.open()
        params = self.parameters(self.source.name, opened.shape)
        metrics = self.metrics()
        frames, _, height, width = opened.shape
        lr_height, lr_width = (side // self.degradation.factor for side in (height, width))
        hr_digest, lr_digest = Digest(frames, height, width), Digest(frames, lr_height, lr_width)

        def images() -> Iterator[np.ndarray]:
            for index, lr in enumerate(lr_frames(opened, self.degradation, params, hr_digest)):
                lr_digest.update(lr)
                hr = to_unit(opened.read(index))[None]
                upsampled = upsample(to_unit(lr)[None], self.degradation.factor)
                for metric in metrics.values():
                    metric.update(upsampled, hr)
                yield rearrange(lr, "c h w -> h w c").numpy()
                tick(1)

        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            write_frames(self.folder, images(), opened.names)
        except BaseException as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise UserError(
                    f"cannot write {self.folder} ({error.strerror}); free disk space, or name another output"
                ) from error
            raise
        return Entry(
            self.source.path.resolve().name,
            frames,
            (width, height),
            (lr_width, lr_height),
            params,
            hr_digest.digits,
            lr_digest.digits,
            {name: _finite(metric.compute().item()) for name, metric in metrics.items()},
        )


@torch.no_grad()
def lr_frames(
    opened: OpenClip, degradation: Degradation, params: Params, hr_digest: Digest
) -> Iterator[Tensor]:
    """Yield LR frame by frame, uint8 ``c h w``; read HR lazily, and add it to ``hr_digest``.

    Raises:
        ValueError: if the degradation changes the number of frames.
    """

    def hr() -> Iterator[Tensor]:
        for frame in opened:
            hr_digest.update(frame)
            yield to_unit(frame)

    count = 0
    for count, lr in enumerate(degradation.frames(params, hr()), 1):  # noqa: B007
        yield to_bytes(lr)
    if count != len(opened.names):
        raise ValueError(f"{len(opened.names)} frames became {count}")


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
