"""``python -m dcvsr.degrade verify input=hr/ output=lr/``: rebuild an LR set and compare."""

import logging
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig

from dcvsr.degrade.requested import clips_of, configured_degradation, progress_bar
from dcvsr.runtime.cli import command, fail
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


@command("degrade_verify")
def main(cfg: DictConfig) -> None:
    """Rebuild each clip, compare it with the manifest and the stored frames; exit with 1 if one differs."""
    degradation = configured_degradation(cfg)
    from dcvsr.degrade.lr_folder import manifest_path, read_set
    from dcvsr.degrade.software import version_differences, versions
    from dcvsr.degrade.verification import Verify
    from dcvsr.degrade.worker_pool import run_jobs

    folder = Path(cfg.output)
    manifest = read_set(folder)
    if manifest is None:
        raise UserError(f"{folder} holds no LR set to verify; make it first")
    clips = clips_of(manifest, manifest_path(folder), cfg)
    jobs = {
        name: Verify(clip, manifest.clips[name], degradation, folder / name) for name, clip in clips.items()
    }
    with (
        progress_bar(clips, jobs, "verify") as bar,
        closing(run_jobs(jobs, cfg.workers, bar.update)) as results,
    ):
        verdicts = dict(results)
    for name in clips:
        if not verdicts[name].identical:
            log.info(f"{name}: {verdicts[name]}")
    identical = sum(verdict.identical for verdict in verdicts.values())
    log.info(f"{folder}: {identical} of {len(verdicts)} clips are identical")
    if identical < len(verdicts):
        fail(f"{folder} was not rebuilt; software: {version_differences(manifest.versions, versions())}", 1)
