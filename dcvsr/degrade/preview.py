"""``python -m dcvsr.degrade preview input=hr/ output=lr/``: a contact sheet of a degradation's steps."""

import logging
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig

from dcvsr.degrade.requested import configured_degradation, progress_bar, requested
from dcvsr.runtime.cli import command

log = logging.getLogger(__name__)


@command("degrade_preview")
def main(cfg: DictConfig) -> None:
    """Write preview.png into the output folder: the effect of each step on the first frame of each clip."""
    degradation = configured_degradation(cfg)
    from dcvsr.degrade.contact_sheet import Preview, sheet
    from dcvsr.degrade.lr_folder import PREVIEW, read_set
    from dcvsr.degrade.worker_pool import run_jobs
    from dcvsr.runtime.files import write_whole

    folder, request = Path(cfg.output), requested(cfg, degradation)
    read_set(folder)  # raises if the folder has other files
    log.info(request.summary(cfg.input, folder, degradation.factor))
    clips, path = request.clips, folder / PREVIEW
    jobs = {name: Preview(clip, degradation, request.parameters) for name, clip in clips.items()}
    with (
        progress_bar(clips, jobs, "preview") as bar,
        closing(run_jobs(jobs, cfg.workers, lambda _: None)) as results,
    ):
        rows = {}
        for name, row in results:
            rows[name] = row
            bar.update(clips[name].shape[0])
    origin = f"manifest={cfg.manifest}" if cfg.manifest else f"seed={request.seed}"
    write_whole(path, sheet(f"degradation={request.option}, {origin}", [rows[name] for name in clips]))
    log.info(f"{path}: {len(rows)} clips")
