"""The command ``evaluate``: scores of an upscaler on the test clips of a dataset."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.available import available
from dcvsr.runtime.cli import command, preflight
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json
from dcvsr.runtime.wandb_login import require_login, wandb_errors

if TYPE_CHECKING:
    from dcvsr.diffusion.protocols import Upscaler
    from dcvsr.evaluation.inputs import Sources
    from dcvsr.runtime.ranks import Ranks

log = logging.getLogger(__name__)

RESULTS = ("clip", "metric", "value")
KEPT = {"mp4": ".mp4", "mkv": ".mkv", "mov": ".mov", "png": ""}
"""Format of kept results -> file suffix; a folder of PNG files has none."""


@command("evaluate", moved={"calibrate": "dcvsr.evaluation.calibration"}, helpers=True)
def main(cfg: DictConfig) -> dict[str, float]:
    """Score an upscaler; write results.csv, summary.json, videos and a wandb table; return the means."""
    preflight(cfg)
    if not cfg.dry_run:
        require_login(cfg.wandb)
    from dcvsr.runtime.device import choose
    from dcvsr.runtime.ranks import joined, started

    named = any(override.startswith("hydra.run.dir=") for override in HydraConfig.get().overrides.hydra)
    if started() > 1 and (not named or cfg.debug.attention):
        raise UserError(
            f"{started()} processes need one folder for the run, and record no attention: "
            "add hydra.run.dir=FOLDER, and leave debug.attention out"
        )
    with joined(choose(cfg.device).type) as ranks:
        return _evaluate(cfg, ranks)


def _evaluate(cfg: DictConfig, ranks: "Ranks") -> dict[str, float]:
    from dcvsr.attention.probe import Probe
    from dcvsr.evaluation.inputs import configured_sources
    from dcvsr.evaluation.job import Evaluation
    from dcvsr.evaluation.progress import Progress
    from dcvsr.evaluation.summary import summary
    from dcvsr.models.configured import configured_upscaler
    from dcvsr.runtime.provenance import describe

    folder = Path(HydraConfig.get().runtime.output_dir)
    upscaler, device = configured_upscaler(cfg)
    identity = describe(upscaler.origin, cfg.seed, device) | {
        "settings": OmegaConf.to_container(cfg, resolve=True)
    }
    progress = Progress(folder, identity)
    if progress.is_finished:
        log.info(f"{folder} already holds this run, finished; nothing to do")
        return dict(_known(read_json(folder / "summary.json")))
    metrics, missing = available(cfg.metrics)
    if missing and not metrics:
        raise UserError(f"no metric is available: {'; '.join(missing.values())}")
    sources = configured_sources(cfg)
    sources.require_reference([name for name, metric in metrics.items() if metric.needs_reference])
    _require_results(upscaler, sources)
    upscaler.to(device)
    probes = [Probe()] if cfg.debug.attention else []
    if probes and progress.results:
        raise UserError(f"{folder} holds a part without recorded attention; give another folder")
    keep = _keep(cfg, folder, sources)
    evaluation = Evaluation(_by_seed(upscaler, cfg), sources, metrics, keep, probes, device)
    log.info(f"weights: {upscaler.origin or 'none'}\n{evaluation.plan(progress)}")
    if cfg.dry_run:
        return {}
    evaluation.run(progress, ranks)
    if ranks.number:
        return {}
    found = summary(progress.results, metrics) | {"missing": missing, "cost": progress.cost} | identity
    _write(cfg, folder, found, probes)
    progress.finish()
    return dict(_known(found))


def _require_results(upscaler: "Upscaler", sources: "Sources") -> None:
    """Raise UserError unless precomputed results have the length, size and rate of their clips."""
    for name in sources.clips:
        upscaler.for_clip(name, *sources.lr_shape(name), sources.rate(name))


def _by_seed(upscaler: "Upscaler", cfg: DictConfig) -> dict[int, "Upscaler"]:
    """Return the upscaler for each seed, or once if it is deterministic."""
    if upscaler.seed is None:
        return {cfg.seed: upscaler}
    return {seed: upscaler.with_seed(seed) for seed in range(cfg.seed, cfg.seed + cfg.seeds)}


def _keep(cfg: DictConfig, folder: Path, sources: Any) -> Callable[[str, Any], None]:
    """Return a function that writes a clip's result, at the clip's own frame rate if it has one."""
    from dcvsr.video.io import write_clip

    def write(name: str, frames: Any) -> None:
        path = folder / "videos" / f"{name}{KEPT[cfg.keep]}"
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():  # a killed run may have left it
            shutil.rmtree(path)
        write_clip(path, frames, Fraction(cfg.fps or sources.rate(name) or 25), crf=cfg.crf)

    return write


def _write(cfg: DictConfig, folder: Path, found: dict[str, Any], probes: Sequence[Any]) -> None:
    """Write the results to files, to wandb and to the log."""
    from dcvsr.runtime.provenance import write_csv, write_json

    about = {"dataset": cfg.data.name, "upscaler": HydraConfig.get().runtime.choices["upscaler"]}
    overrides = list(HydraConfig.get().overrides.task)
    rows = [[clip, name, value] for clip, row in found["clips"].items() for name, value in row.items()]
    write_csv(folder / "results.csv", RESULTS, rows)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(folder / f"{table.name}.csv", table.columns, table.rows)
    write_json(folder / "summary.json", {**about, **found, "overrides": overrides})
    _publish(cfg, found, rows, probes)
    losses = (found["weights"] or {}).get("losses", ())
    means = ", ".join(f"{name} {mean:.4f}{' (a loss)' * (name in losses)}" for name, mean in _known(found))
    if found["unscored"]:
        left_out = ", ".join(f"{name} ({' '.join(clips)})" for name, clips in found["unscored"].items())
        log.warning(f"means without the clips that have no score: {left_out}")
    log.info(f"{about['upscaler']} on {cfg.data.name}: {means or 'not scored'}\nrun: {folder}")


def _known(found: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the means that exist, by metric."""
    return [(name, m["mean"]) for name, m in found["metrics"].items() if m["mean"] is not None]


def _publish(cfg: DictConfig, found: Mapping[str, Any], rows: list[Any], probes: Sequence[Any]) -> None:
    """Log the results as a wandb run."""
    import wandb

    from dcvsr.models.cost import flat

    try:
        logger = instantiate(cfg.wandb)
        chosen = OmegaConf.to_container(HydraConfig.get().runtime.choices)
        folder = HydraConfig.get().runtime.output_dir
        with wandb_errors(f"the scores are kept; send them with hydra.run.dir={folder}"):
            logger.log_hyperparams({**found["settings"], "choices": chosen})
        logger.log_table("evaluate/results", columns=list(RESULTS), data=rows)
        logger.log_metrics({f"evaluate/{name}": mean for name, mean in _known(found)})
        logger.log_metrics(flat(found["cost"], "evaluate/cost"))
        for probe in probes:
            for table in probe.tables:
                logger.log_table(
                    f"debug/{table.name}", columns=list(table.columns), data=list(map(list, table.rows))
                )
            lines = probe.mass_by_step
            steps, masses = ([[point[i] for point in line] for line in lines.values()] for i in (0, 1))
            plot = wandb.plot.line_series(steps, masses, list(lines), "attention on propagated keys", "step")
            logger.experiment.log({"debug/mass": plot})
    finally:
        wandb.finish()


if __name__ == "__main__":
    main()
