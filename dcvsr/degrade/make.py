"""``python -m dcvsr.degrade input=hr/ output=lr/``: an LR set that others can rebuild bit for bit."""

import logging
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.degrade.requested import Request, configured_degradation, progress_bar, requested, settings
from dcvsr.runtime.cli import command
from dcvsr.runtime.files import require_short_names, require_space

log = logging.getLogger(__name__)

MOVED = {"verify": "dcvsr.degrade verify", "preview": "dcvsr.degrade preview"}


@command("degrade", MOVED)
def main(cfg: DictConfig) -> None:
    """Make the LR set in the output folder."""
    degradation = configured_degradation(cfg)
    from dcvsr.degrade.lr_folder import finished, locked, manifest_path, read_set
    from dcvsr.degrade.manifest import Manifest
    from dcvsr.degrade.software import versions

    folder, request = Path(cfg.output), requested(cfg, degradation)
    require_short_names([folder / name for name in request.clips], "rename the clip")
    recipe = Manifest(request.seed, request.option, settings(cfg), tuple(cfg.metrics), versions())
    there = read_set(folder)
    if there is not None:
        there.require_recipe(recipe, manifest_path(folder))
    log.info(request.summary(cfg.input, folder, degradation.factor))
    missing = request.clips.keys() - finished(folder, there)
    require_space(folder, request.size(missing, degradation.factor), "the LR")
    if cfg.dry_run:
        return
    with locked(folder):
        made = _build(cfg, degradation, request, recipe)
    if request.recorded is not None:
        _compare(request.recorded, cfg.manifest, made, request.clips)


def _build(cfg: DictConfig, degradation: Any, request: Request, recipe: Any) -> Any:
    """Make the clips that the folder lacks, add each when it is done, and return the manifest."""
    from dcvsr.degrade.building import Build
    from dcvsr.degrade.lr_folder import add, finished, manifest_path, part_folder, read_set
    from dcvsr.degrade.worker_pool import run_jobs

    folder, clips = Path(cfg.output), request.clips
    manifest = read_set(folder) or recipe
    manifest.require_recipe(recipe, manifest_path(folder))
    there = finished(folder, manifest) & clips.keys()
    if there:
        log.info(f"{len(there)} of {len(clips)} clips are there already")
    metrics = partial(instantiate, cfg.metrics)
    jobs = {
        name: Build(clip, degradation, request.parameters, metrics, part_folder(folder, name))
        for name, clip in clips.items()
        if name not in there
    }
    if jobs:
        manifest.require_versions(recipe, manifest_path(folder))
        metrics()  # reports missing weights before the first clip
    with (
        progress_bar(clips, jobs, "degrade") as bar,
        closing(run_jobs(jobs, cfg.workers, bar.update)) as results,
    ):
        for name, entry in results:
            manifest = add(folder, manifest, name, entry)
    scores = ", ".join(
        f"{name} {'infinite' if score is None else f'{score:.4f}'}"
        for name, score in manifest.fingerprint.items()
    )
    log.info(f"{folder}: {len(manifest.clips)} clips; bicubic on it: {scores or 'not scored'}")
    log.info(f"{manifest_path(folder)}")
    return manifest


def _compare(recorded: Any, path: str, made: Any, clips: Mapping[str, Any]) -> None:
    """Log whether the replayed clips equal those that the manifest records."""
    from dcvsr.degrade.software import version_differences

    known = [name for name in clips if recorded.clips[name].lr_sha256]
    apart = [name for name in known if made.clips[name].lr_sha256 != recorded.clips[name].lr_sha256]
    for name in apart:
        is_same_hr = made.clips[name].hr_sha256 == recorded.clips[name].hr_sha256
        log.info(f"{name}: {'a rebuild differs' if is_same_hr else 'HR differs from the manifest'}")
    if known:
        log.info(f"{path}: {len(known) - len(apart)} of {len(known)} clips are identical")
    if apart:
        log.info(f"software: {version_differences(recorded.versions, made.versions)}")
