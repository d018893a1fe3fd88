"""The command ``upscale``, which upscales any video.

Importing this module does not import torch.
"""

import logging
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import command, fail, preflight

if TYPE_CHECKING:
    import torch

    from dcvsr.diffusion.protocols import Upscaler
    from dcvsr.runtime.ranks import Ranks
    from dcvsr.upscaling.job_folder import JobFolder
    from dcvsr.upscaling.reading import ReadVideo
    from dcvsr.upscaling.video_job import VideoJob
    from dcvsr.upscaling.video_queue import Overwrite
    from dcvsr.video.coding import Coding

log = logging.getLogger(__name__)


@command("upscale", helpers=True)
def main(cfg: DictConfig) -> None:
    """Upscale one video, or each of a folder, and write a JSON report beside it."""
    preflight(cfg)
    from dcvsr.runtime.device import choose
    from dcvsr.runtime.ranks import joined

    with joined(choose(cfg.device).type) as ranks:
        if ranks.number:
            from dcvsr.upscaling.shared_videos import help_with_videos

            help_with_videos(cfg, ranks)
        else:
            _upscale_all(cfg, ranks)
            ranks.tell(None)


def _upscale_all(cfg: DictConfig, ranks: "Ranks") -> None:
    from dcvsr.upscaling.video_queue import QueuedVideo, is_queue, queued_videos, upscale_all

    source, output = Path(cfg.input), Path(cfg.output)
    if not is_queue(source):
        _upscale(cfg, "always" if cfg.overwrite == "auto" else cfg.overwrite, ranks)
        return
    queue, is_new = queued_videos(source, output), not output.exists()
    _make_folder(output)

    def upscale(video: QueuedVideo) -> str:
        this = OmegaConf.merge(cfg, {"input": str(video.source), "output": str(video.output)})
        assert isinstance(this, DictConfig)
        return _upscale(this, "never" if cfg.overwrite == "auto" else cfg.overwrite, ranks)

    try:
        upscale_all(queue, upscale)
    finally:
        if cfg.dry_run and is_new:
            output.rmdir()


def _make_folder(folder: Path) -> None:
    from dcvsr.runtime.errors import UserError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; name another output=") from error


def _upscale(cfg: DictConfig, overwrite: "Overwrite", ranks: "Ranks") -> str:
    """Upscale one video; return what was done."""
    from dcvsr.attention.probe import Probe
    from dcvsr.runtime.warning_list import warning_list
    from dcvsr.upscaling.job_folder import JobFolder
    from dcvsr.upscaling.output_files import require_free_names
    from dcvsr.upscaling.video_queue import is_up_to_date

    source, output = Path(cfg.input), Path(cfg.output)
    require_free_names(output, [table.name for table in Probe().tables] if cfg.debug.attention else [])
    folder = JobFolder(output)
    if not folder.is_delivered and is_up_to_date(source, output, overwrite):
        log.info(f"{output} exists and stays as it is, by overwrite={overwrite}")
        return "exists"
    with warning_list() as warnings:
        return _upscaled(cfg, folder, warnings, ranks)


def _upscaled(cfg: DictConfig, folder: "JobFolder", warnings: list[str], ranks: "Ranks") -> str:
    from dcvsr.models.upscaler import TiledUpscaler
    from dcvsr.upscaling.disk_space import require_disk, warn_by_header
    from dcvsr.upscaling.finishing import Finishing
    from dcvsr.upscaling.fitting import fitted_settings
    from dcvsr.upscaling.job_plan import Plan
    from dcvsr.upscaling.reading import cut_rule, read_into
    from dcvsr.upscaling.shared_videos import shareable_upscaler
    from dcvsr.upscaling.target_size import to_target
    from dcvsr.upscaling.video_job import VideoJob, job_record, require_place
    from dcvsr.video.coding import Coding
    from dcvsr.video.io import check_output
    from dcvsr.video.part import Part
    from dcvsr.video.reader import open_frames

    started = time.monotonic()
    source, output = Path(cfg.input), Path(cfg.output)
    if not folder.is_delivered:
        check_output(source, output, cfg.crf, cfg.audio)
    part = Part.parsed(cfg.start, cfg.frames, cfg.seconds, cfg.region)
    cuts = cut_rule(cfg.engine.cuts, part.start)
    coding = Coding(cfg.codec, cfg.crf, cfg.pix_fmt, cfg.codec_options or {})
    ways = {"alpha": cfg.alpha, "deinterlace": cfg.deinterlace, "on_damage": cfg.on_damage, "hdr": cfg.hdr}
    with open_frames(source, cfg.fps, part, deep=True, **ways) as reader:
        upscaler, device = shareable_upscaler(cfg, ranks)
        upscaler, target = to_target(upscaler, reader.whole, reader.shape, cfg.size, cfg.height, cfg.factor)
        require_place(part, upscaler, target)
        coding = coding.settled(output, reader.bits, reader.channels == 4, target.hr)
        coding.check(output)
        warn_by_header(reader, target, folder.path)
        if cfg.dry_run:
            video = read_into(None, reader, cuts, target)
            upscaler = _planned(cfg, upscaler, video, device)
            if isinstance(upscaler, TiledUpscaler):
                log.info(Plan.of(upscaler, video, device, ranks.count, cfg.engine.save_every))
            require_disk(upscaler, video, coding, folder.path, output)
            return "planned"
        with folder.locked():
            store = folder.frames("lr", (reader.channels, *reader.shape), reader.dtype)
            video = read_into(store, reader, cuts, target)
            upscaler = _planned(cfg, upscaler, video, device)
            folder.claim(job_record(cfg, video, upscaler, device))
            if folder.is_delivered:
                log.info(f"{output} was finished before")
                folder.remove()
                return "finished before"
            require_disk(upscaler, video, coding, folder.path, output)
            if folder.is_resumed:
                log.info(f"going on with {folder.path}")
            upscaler.to(device)
            settings = cfg.engine.save_every, coding.bits, Finishing(cfg.colour, cfg.strength), ranks
            job = VideoJob(upscaler, video, folder, part, device, *settings)
            ranks.tell((reader.whole, reader.shape, fitted_settings(upscaler)))
            return _run(cfg, job, coding, started, warnings)


def _planned(cfg: DictConfig, upscaler: "Upscaler", video: "ReadVideo", device: "torch.device") -> "Upscaler":
    """Return the upscaler fitted into memory, and print what there is to do; UserError if it does not fit."""
    from dcvsr.models.upscaler import TiledUpscaler
    from dcvsr.runtime.device import require_memory, require_working_memory
    from dcvsr.upscaling.fitting import fitted

    upscaler = fitted(upscaler, video.longest, cfg.engine.memory, device)
    (frames, height, width), (rows, columns), shots = video.shape, video.target.hr, len(video.shots)
    work = sum(upscaler.work(*size) for size in video.sizes)
    log.info(
        f"{cfg.input}: {frames} frames of {width}x{height} in {shots} {'shot' if shots == 1 else 'shots'} at "
        f"{video.metadata.rate} fps -> {columns}x{rows}"
    )
    log.info(f"work: {work} {'U-Net evaluations' if isinstance(upscaler, TiledUpscaler) else 'frames'}")
    log.info(f"weights: {upscaler.origin or 'none'}")
    if isinstance(upscaler, TiledUpscaler):
        require_working_memory(upscaler.working_memory(*video.target.inputs), device)
    else:
        require_memory(lambda n: upscaler.memory(n, *video.target.inputs), video.longest[0], device)
    return upscaler


def _run(cfg: DictConfig, job: "VideoJob", coding: "Coding", started: float, warnings: list[str]) -> str:
    """Upscale, and write the video and its report, which comes first: later it would be lost in a kill."""
    from dcvsr.attention.observer import Observers
    from dcvsr.attention.probe import Probe
    from dcvsr.models.cost import Ledger
    from dcvsr.models.sampling_bar import sampling_bar
    from dcvsr.runtime.errors import GOES_ON, UserError
    from dcvsr.runtime.provenance import describe, write_csv, write_json
    from dcvsr.upscaling.output_files import report_path, table_path
    from dcvsr.upscaling.shared_videos import gathered_counts

    source, output = Path(cfg.input), Path(cfg.output)
    upscaler, video = job.upscaler, job.video
    frames, (height, width) = video.shape[0], video.target.hr
    work = sum(upscaler.work(*size) for size in video.sizes)
    ledger = Ledger(upscaler)
    probes = [Probe(source.stem)] if cfg.debug.attention else []
    read = time.monotonic()
    try:
        with sampling_bar(work, "upscale", cfg.sampler.steps) as bar, ledger.running(video.sizes, job.device):
            job.write(output, coding, bar.advance, Observers([ledger, bar, *probes]), cfg.audio)
        ledger.add(*gathered_counts(job.ranks))
    except UserError as error:
        if job.ranks.count > 1:  # the other ranks wait for their part of this video, not for the next one
            fail(str(error))
        raise
    except KeyboardInterrupt:
        if not job.folder.is_begun:
            raise
        again = shlex.join(["python", "-m", "dcvsr.upscale", *sys.argv[1:]])
        fail(f"interrupted; what is done is in {job.folder.path}, and the same command goes on: {again}", 130)
    report = {
        "input": str(source),
        "output": str(output),
        "frames": frames,
        "size": [width, height],
        "rate": str(video.metadata.rate),
        "shots": [[shot.start, len(shot)] for shot in video.shots],
        "evaluations": work,
        "resumed": job.folder.is_resumed,
        "colour_error": job.finishing.report(),
        "warnings": warnings,
        "seconds": {"read": read - started, "upscale": time.monotonic() - read},
        "cost": ledger.report(),
        **describe(upscaler.origin, cfg.seed, job.device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    write_json(report_path(output), report, GOES_ON)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(table_path(output, table.name), table.columns, table.rows)
    job.folder.deliver(cfg.engine.keep)
    done, took = f"{frames} frames of {width}x{height}", time.monotonic() - started
    log.info(f"{output}: {done} in {took:.0f} s")
    return done


if __name__ == "__main__":
    main()
