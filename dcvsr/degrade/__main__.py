"""``python -m dcvsr.degrade input=hr/ output=lr/``: an LR set that a stranger can rebuild bit for bit."""

import logging
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from dcvsr.runtime.cli import command, fail
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)


@command("degrade")
def main(cfg: DictConfig) -> None:
    """Make, verify or preview the LR set in the output folder."""
    from dcvsr.degradation.pipeline import NO_LR, Given

    if cfg.workers < 0:
        raise UserError(f"workers must be at least 0, got {cfg.workers}")
    degradation = instantiate(cfg.degradation, _convert_="all")
    if isinstance(degradation, Given):
        raise UserError(NO_LR)
    if cfg.verify:
        _verify(cfg, degradation)
    else:
        _make(cfg, degradation)


def _make(cfg: DictConfig, degradation: Any) -> None:
    """The set, or its contact sheet."""
    from dcvsr.degrade.hr_clips import chosen, require_multiples, sources_in
    from dcvsr.degrade.lr_folder import begun, held, manifest_path
    from dcvsr.degrade.manifest import Manifest, read
    from dcvsr.degrade.parameters import DrawnParameters, Replayed
    from dcvsr.degrade.software import versions

    folder, hr, recorded = Path(cfg.output), Path(cfg.input), None
    if cfg.manifest:
        recorded = read(Path(cfg.manifest))
        clips = _clips_of(recorded, Path(cfg.manifest), cfg)
        parameters = Replayed(recorded.clips, Path(cfg.manifest))
        seed, option = recorded.seed, recorded.degradation
    else:
        clips = chosen(sources_in(hr), hr, _names(cfg, "include"), _names(cfg, "exclude") or ())
        parameters = DrawnParameters(degradation, cfg.seed)
        seed, option = cfg.seed, HydraConfig.get().runtime.choices["degradation"]
    require_multiples(clips, degradation.factor)
    recipe = Manifest(seed, option, _settings(cfg), tuple(cfg.metrics), versions())
    there = begun(folder)
    if there is not None and not cfg.preview:
        there.require_recipe(recipe, manifest_path(folder))
    frames = sum(clip.shape[0] for clip in clips.values())
    pixels = sum(f * h * w for f, _, h, w in (clip.shape for clip in clips.values()))
    size = 2e-6 * pixels / degradation.factor**2
    log.info(f"{hr}: {len(clips)} clips, {frames} frames -> {folder}, about {size:.0f} MB")
    if cfg.dry_run:
        return
    if cfg.preview:
        origin = f"manifest={cfg.manifest}" if cfg.manifest else f"seed={seed}"
        _preview(cfg, degradation, parameters, clips, f"degradation={option}, {origin}")
        return
    with held(folder):
        made = _build(cfg, degradation, parameters, clips, recipe)
    if recorded is not None:
        _compare(recorded, cfg.manifest, made, clips)


def _build(cfg: DictConfig, degradation: Any, parameters: Any, clips: Mapping[str, Any], recipe: Any) -> Any:
    """The clips that are not there yet, each put in its place as soon as it is done; gives the manifest."""
    from dcvsr.degrade.building import Build
    from dcvsr.degrade.lr_folder import add, begun, is_whole, manifest_path, unfinished
    from dcvsr.degrade.worker_pool import each

    folder = Path(cfg.output)
    manifest = begun(folder) or recipe
    manifest.require_recipe(recipe, manifest_path(folder))
    there = {
        name for name in clips if name in manifest.clips and is_whole(folder, name, manifest.clips[name])
    }
    if there:
        log.info(f"{len(there)} of {len(clips)} clips are there already")
    jobs = {
        name: Build(clip, degradation, parameters, partial(_metrics, cfg.metrics), unfinished(folder, name))
        for name, clip in clips.items()
        if name not in there
    }
    if jobs:
        manifest.require_versions(recipe, manifest_path(folder))
        _metrics(cfg.metrics)  # weights that are missing are missed now
    with _bar(clips, jobs, "degrade") as bar, closing(each(jobs, cfg.workers, bar.update)) as results:
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
    """Say whether what was replayed came out as it did for whoever wrote the manifest."""
    from dcvsr.degrade.software import told_apart

    known = [name for name in clips if recorded.clips[name].lr_sha256]
    apart = [name for name in known if made.clips[name].lr_sha256 != recorded.clips[name].lr_sha256]
    for name in apart:
        is_same_hr = made.clips[name].hr_sha256 == recorded.clips[name].hr_sha256
        log.info(f"{name}: {'a rebuild differs' if is_same_hr else 'HR here is not what it was made from'}")
    if known:
        log.info(f"{path}: {len(known) - len(apart)} of {len(known)} clips are identical")
    if apart:
        log.info(f"software: {told_apart(recorded.versions, made.versions)}")


def _verify(cfg: DictConfig, degradation: Any) -> None:
    """Rebuild each clip here, and compare with what was recorded and with what is stored."""
    from dcvsr.degrade.lr_folder import begun, manifest_path
    from dcvsr.degrade.software import told_apart, versions
    from dcvsr.degrade.verification import Verify
    from dcvsr.degrade.worker_pool import each

    folder = Path(cfg.output)
    manifest = begun(folder)
    if manifest is None:
        raise UserError(f"{folder} holds no LR set to verify; make it first")
    clips = _clips_of(manifest, manifest_path(folder), cfg)
    jobs = {
        name: Verify(clip, manifest.clips[name], degradation, folder / name) for name, clip in clips.items()
    }
    with _bar(clips, jobs, "verify") as bar, closing(each(jobs, cfg.workers, bar.update)) as results:
        verdicts = dict(results)
    for name in clips:
        if not verdicts[name].identical:
            log.info(f"{name}: {verdicts[name]}")
    identical = sum(verdict.identical for verdict in verdicts.values())
    log.info(f"{folder}: {identical} of {len(verdicts)} clips are identical")
    if identical < len(verdicts):
        fail(f"{folder} was not rebuilt; software: {told_apart(manifest.versions, versions())}", 1)


def _preview(
    cfg: DictConfig, degradation: Any, parameters: Any, clips: Mapping[str, Any], heading: str
) -> None:
    from dcvsr.degrade.contact_sheet import Preview, sheet
    from dcvsr.degrade.lr_folder import PREVIEW
    from dcvsr.degrade.worker_pool import each
    from dcvsr.runtime.files import write_whole

    path = Path(cfg.output, PREVIEW)
    jobs = {name: Preview(clip, degradation, parameters) for name, clip in clips.items()}
    with _bar(clips, jobs, "preview") as bar, closing(each(jobs, cfg.workers, lambda _: None)) as results:
        rows = {}
        for name, row in results:
            rows[name] = row
            bar.update(clips[name].shape[0])
    write_whole(path, sheet(heading, [rows[name] for name in clips]))
    log.info(f"{path}: {len(rows)} clips")


def _clips_of(manifest: Any, path: Path, cfg: DictConfig) -> dict[str, Any]:
    """HR of a manifest's clips, or of those that are asked for; the degradation must be the manifest's."""
    from dcvsr.degrade.hr_clips import chosen, sources_in

    manifest.require_settings(_settings(cfg), path)
    names = chosen(manifest.clips, path, _names(cfg, "include"), _names(cfg, "exclude") or ())
    return chosen(sources_in(Path(cfg.input)), Path(cfg.input), names, ())


def _settings(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg.degradation, resolve=True)


def _names(cfg: DictConfig, key: str) -> list[str] | None:
    """Names of clips; Hydra takes 240 for a number."""
    names = cfg[key]
    if names is None:
        return None
    if not isinstance(names, ListConfig):
        raise UserError(f"{key} must be a list, got {names}; write '{key}=[{names}]'")
    return [str(name) for name in names]


def _metrics(cfg: DictConfig) -> Any:
    return instantiate(cfg)


def _bar(clips: Mapping[str, Any], jobs: Mapping[str, Any], told: str) -> Any:
    """On a terminal alone: elsewhere stderr is for mistakes."""
    from tqdm import tqdm

    return tqdm(total=sum(clips[name].shape[0] for name in jobs), desc=told, unit="frame", disable=None)


if __name__ == "__main__":
    main()
