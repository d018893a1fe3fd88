"""One video upscaled in memory that does not grow with its length, and resumed after any end."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.diffusion.protocols import Advance, Upscaler
from dcvsr.imaging import to_samples, to_unit
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.errors import GOES_ON, UserError
from dcvsr.runtime.hashing import software
from dcvsr.runtime.ranks import ALONE, Ranks
from dcvsr.upscaling.finishing import Finishing
from dcvsr.upscaling.fitting import fitted_settings
from dcvsr.upscaling.job_folder import JobFolder
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize, resampled
from dcvsr.upscaling.write_behind import write_behind
from dcvsr.video.coding import Coding
from dcvsr.video.io import write_video
from dcvsr.video.part import Part

log = logging.getLogger(__name__)


class VideoJob:
    """Upscaling of a video that was read into a job folder.

    Args:
        upscaler: the method, on ``device``.
        video: the LR video.
        folder: the job's folder, claimed.
        part: the part of the whole video that ``video`` is.
        device: device of the upscaler.
        save_every: windows between two saves.
        bits: bits per sample of the output.
        finishing: of the frames on their way from the store to the output.
        ranks: processes that share the video; this one leads.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        video: ReadVideo,
        folder: JobFolder,
        part: Part,
        device: torch.device,
        save_every: int,
        bits: int = 8,
        finishing: Finishing | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.upscaler, self.video, self.folder, self.device = upscaler, video, folder, device
        self.ranks = ranks
        self.save_every, self.finishing = save_every, finishing or Finishing("none", 1)
        x, y = part.region[:2] if part.region else (0, 0)
        self._place = part.start, y, x
        name, self._dtype = self._depth(max(bits, video.metadata.bits))
        self._hr = folder.frames(name, (3, *video.target.hr), self._dtype, video.shape[0])
        longest = max(range(len(video.shots)), key=lambda number: len(video.shots[number]))
        if isinstance(upscaler, TiledUpscaler):  # its stores take the disk space of all shots before the work
            upscaler.job(self._clip(video.shots[longest]), folder.shot(longest), device)

    def _depth(self, bits: int) -> tuple[str, torch.dtype]:
        """Return name and dtype of the HR store for samples of ``bits``; a resumed job keeps what it has."""
        names = {"hr": torch.uint8, "hr16": torch.uint16}
        wanted = "hr16" if bits > 8 else "hr"
        begun = [name for name in names if self.folder.is_resumed and (self.folder.path / name).exists()]
        name = begun[0] if begun else wanted
        if (name, wanted) == ("hr", "hr16"):
            log.warning(
                "%s holds frames of 8 bits, and the result has no more; delete the folder for %d",
                self.folder.path,
                bits,
            )
        return name, names[name]

    def write(
        self, output: Path, coding: Coding, advance: Advance, observer: Observer, audio: str = "copy"
    ) -> None:
        """Upscale shot by shot and write the video into the job folder, which then can deliver it.

        Raises:
            UserError: if it cannot be written.
        """
        unfinished, metadata = self.folder.unfinished / output.name, self.video.metadata
        frames = self.finishing.all(self._frames(advance, observer), self._up)
        if self.video.channels == 4:
            frames = self._with_alpha(frames)
        try:
            write_behind(
                lambda chunks: write_video(
                    *(unfinished, chunks, metadata, coding.crf, audio),
                    **{"codec": coding.codec, "pix_fmt": coding.pix_fmt, "codec_options": coding.options},
                ),
                frames,
            )
        except OSError as error:  # of Pillow or PyAV
            raise UserError(f"cannot write {unfinished}: {error.strerror or error}; {GOES_ON}") from error

    def _with_alpha(self, chunks: Iterator[Tensor]) -> Iterator[Tensor]:
        """Append bicubic alpha to the channels."""
        done, lr = 0, self.video.frames
        assert lr is not None
        for chunk in chunks:
            alpha = to_unit(lr.read(range(done, done + len(chunk)))[:, 3:])
            done += len(chunk)
            yield torch.cat([chunk, resampled(alpha, self.video.target.hr)], 1)

    def _up(self, frames: range) -> Tensor:
        """Return the bicubic I^up of frames."""
        assert self.video.frames is not None
        return resampled(to_unit(self.video.frames.read(frames)[:, :3]), self.video.target.hr)

    def _frames(self, advance: Advance, observer: Observer) -> Iterator[Tensor]:
        """Yield all HR frames as they are stored, in [0, 1] with 8 or 16 bits."""
        done = self.folder.shots_done
        for number, (shot, size) in enumerate(zip(self.video.shots, self.video.sizes, strict=True)):
            if number < done:
                observer.resumed(self.upscaler.work(*size))
                yield from self._stored(shot)
            else:
                yield from self._upscaled(number, shot, advance, observer)

    def _upscaled(self, number: int, shot: range, advance: Advance, observer: Observer) -> Iterator[Tensor]:
        workspace, up = self.folder.shot(number), self.upscaler
        at, _ = workspace.load()
        done = shot.start + (at.done if at.stage == "decode" else 0)
        yield from self._stored(range(shot.start, done))
        if isinstance(up, TiledUpscaler):
            settings = workspace, self.device, advance, observer, self.save_every, self.ranks
            chunks = up.job(self._clip(shot), *settings)()
        else:
            chunks = up(self._clip(shot).read(range(len(shot))).to(self.device), advance).split(1)
        for chunk in chunks:
            pixels = to_samples(self.video.target.after(chunk), self._dtype).cpu()
            self._hr.write(done, pixels)
            done += len(pixels)
            yield to_unit(pixels)
        workspace.finish()

    def _clip(self, shot: range) -> LRClip:
        lr, target = self.video.frames, self.video.target
        start, top, left = target.scaled(self._place)
        assert lr is not None

        def read(frames: range) -> Tensor:
            frames = range(shot.start + frames.start, shot.start + frames.stop)
            return target.before(to_unit(lr.read(frames)[:, :3]))

        return LRClip(read, len(shot), *target.inputs, start + shot.start, top, left)

    def _stored(self, frames: range) -> Iterator[Tensor]:
        for number in frames:
            yield to_unit(self._hr.read(range(number, number + 1)))


IRRELEVANT = {"input", "output", "ckpt", "cache", "crf", "audio", "on_damage", "fps", "dry_run"} | {
    *("colour", "strength", "overwrite", "codec", "pix_fmt", "codec_options", "hdr"),
    *("debug", "runs", "run_name", "engine", "device"),
}
"""Settings that do not change the frames of the result, or whose content ``job_record`` tells."""


def job_record(cfg: DictConfig, video: ReadVideo, upscaler: Upscaler, device: torch.device) -> dict[str, Any]:
    """Return all that the frames of the result depend on, as plain values.

    Args:
        cfg: the command's configuration.
        video: the LR video.
        upscaler: the method.
        device: its device.
    """
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    cuts, origin = [shot.start for shot in video.shots], upscaler.origin
    return {
        "input": {"frames": video.shape[0], "sha256": video.sha256, "cuts": cuts},
        "weights": origin and origin.record()["sha256"],
        "device": device.type,
        "code": software(),
        "fitted": fitted_settings(upscaler),
        **{key: _without_paths(value) for key, value in settings.items() if key not in IRRELEVANT},
    }


def _without_paths(value: Any) -> Any:
    """Leave out the places of weights and caches, whose contents count."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_paths(part) for key, part in value.items() if key not in ("ckpt", "runs", "cache")}


def require_place(part: Part, upscaler: Upscaler, target: TargetSize) -> None:
    """Refuse a region whose corner lies between latent pixels, where the video has no noise.

    With another factor than the model's, the nearest latent pixel is taken.

    Raises:
        UserError: naming the multiple to choose.
    """
    if part.region is None or not isinstance(upscaler, TiledUpscaler) or target.inputs != target.lr:
        return
    multiple = -(-upscaler.latents.autoencoder.factor // upscaler.factor)
    x, y, w, h = part.region
    if x % multiple or y % multiple:
        fitting = f"{x - x % multiple},{y - y % multiple},{w + x % multiple},{h + y % multiple}"
        raise UserError(f"region={x},{y},{w},{h} must begin at multiples of {multiple}; use region={fitting}")
