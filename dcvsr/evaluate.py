"""``python -m dcvsr.evaluate``: an upscaler on the test clips of a data set, scored by every metric."""

import logging
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.cli import command, preflight, refused_value
from dcvsr.errors import UserError

log = logging.getLogger(__name__)

Scores = dict[str, dict[str, float | None]]
"""Clip -> metric -> value; None where it is infinite or not defined, as JSON has neither."""

RESULTS = ("clip", "metric", "value")


@command("evaluate")
def main(cfg: DictConfig) -> None:
    """Leaves results.csv, summary.json, the restored videos and a wandb table in the run folder."""
    preflight(cfg)
    from dcvsr.attention.probe import Probe
    from dcvsr.device import choose
    from dcvsr.models.cost import Ledger
    from dcvsr.provenance import describe, write_csv, write_json

    folder, choices = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().runtime.choices
    if (folder / "videos").exists():
        raise UserError(f"{folder} holds a run already; name another folder, or move it away")
    upscaler, device = instantiate(cfg.upscaler), choose(cfg.device)
    metrics, missing = _metrics(cfg.metrics)
    upscaler.to(device)
    clips, degradation = (instantiate(part, _convert_="all") for part in (cfg.data.test, cfg.degradation))
    _require_lr_and_truth(clips, degradation, metrics)
    ledger, probes = Ledger(upscaler), [Probe()] if cfg.debug.attention else []
    scores = _score(cfg, upscaler, clips, degradation, metrics, device, folder, ledger, probes)
    summary = {
        "dataset": cfg.data.name,
        "upscaler": choices["upscaler"],
        "metrics": _means(scores, metrics),
        "missing": missing,
        "clips": scores,
        "cost": ledger.report(),
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    rows = [[clip, name, value] for clip, row in scores.items() for name, value in row.items()]
    write_csv(folder / "results.csv", RESULTS, rows)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(folder / f"{table.name}.csv", table.columns, table.rows)
    write_json(folder / "summary.json", summary)
    _publish(cfg, summary, rows, probes)
    means = ", ".join(f"{name} {mean:.4f}" for name, mean in _known(summary))
    log.info(f"{choices['upscaler']} on {cfg.data.name}: {means or 'not scored'}\nrun: {folder}")


def _score(
    cfg: DictConfig,
    upscaler: Any,
    clips: Mapping[str, Any],
    degradation: Any,
    metrics: Mapping[str, Any],
    device: Any,
    folder: Path,
    ledger: Any,
    probes: Sequence[Any],
) -> Scores:
    """Degrade, upscale and score each clip; both LR and result are rounded to 8 bits, as files hold them."""
    from tqdm import tqdm

    from dcvsr.attention.observer import Observers
    from dcvsr.data.video import to_bytes, to_unit, write_clip

    scores: Scores = {}
    named = [*probes, *([upscaler] if hasattr(upscaler, "clip") else [])]
    (folder / "videos").mkdir()
    for name, clip in clips.items():
        hr, lr = _hr_and_lr(name, clip, degradation, cfg.lr_seed)
        lr = lr.to(device)
        work = upscaler.work(len(lr), *lr.shape[-2:])
        for part in named:
            part.clip = name
        with tqdm(total=work, desc=name, unit="tile") as bar, ledger.running(lr):
            restored = to_unit(to_bytes(upscaler(lr, bar.update, Observers([ledger, *probes]))))
        scores[name] = _scored(name, restored, hr, metrics, device)
        write_clip(folder / "videos" / f"{name}.mp4", restored, Fraction(cfg.fps), crf=cfg.crf)
    return scores


def _scored(
    name: str, restored: Any, hr: Any, metrics: Mapping[str, Any], device: Any
) -> dict[str, float | None]:
    """What every metric says of a clip, other published readings of it by ``<metric>_<reading>``."""
    from tqdm import tqdm

    from dcvsr.metrics.alignment import ALLOWED, shift

    scores: dict[str, Any] = {}
    hr = None if hr is None else hr.to(device)
    for metric_name, metric in tqdm(metrics.items(), desc=f"{name}: score"):
        metric.to(device).reset()
        metric.update(restored, hr)
        scores[metric_name] = metric.compute()
        if hasattr(metric, "readings"):
            scores |= {f"{metric_name}_{reading}": value for reading, value in metric.readings().items()}
    if hr is not None and metrics:
        x, y = shift(restored, hr)
        if max(abs(x), abs(y)) >= ALLOWED:
            log.warning(f"{name}: the result lies {x:+.1f} pixels right of and {y:+.1f} below its truth")
    return {name: value.item() if value.isfinite() else None for name, value in scores.items()}


def _metrics(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """Metrics by name, and why others are missing: their weights, or what they are made with, is not here.

    Raises:
        UserError: if all of them are missing.
    """
    metrics, missing = {}, {}
    for name, part in cfg.items():
        try:
            metrics[str(name)] = instantiate(part)
        except InstantiationException as error:
            if (reason := refused_value(error)) is None:
                raise
            missing[str(name)] = reason
            log.warning(f"{name} is missing, and its scores stay empty: {reason}")
    if missing and not metrics:
        raise UserError(f"no metric can score: {'; '.join(missing.values())}")
    return metrics, missing


def _means(scores: Scores, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of all clips that have a score; a reading is as good as its metric in the same direction."""
    means = {}
    for name in dict.fromkeys(name for row in scores.values() for name in row):
        metric = max((key for key in metrics if name.startswith(key)), key=len)
        values = [value for row in scores.values() if (value := row[name]) is not None]
        mean = fmean(values) if values else None
        means[name] = {"mean": mean, "higher_is_better": metrics[metric].higher_is_better}
    return means


def _require_lr_and_truth(clips: Mapping[str, Any], degradation: Any, metrics: Mapping[str, Any]) -> None:
    """Raises UserError if LR of a clip comes from nowhere, or what metrics compare with is not known."""
    from dcvsr.data.pairs import Pair, require_one_lr

    comparing = [name for name, metric in metrics.items() if metric.needs_reference]
    for name, clip in clips.items():
        require_one_lr(name, clip, degradation)
        if isinstance(clip, Pair) and clip.hr is None and comparing:
            raise UserError(
                f"clip {name} has no HR for {', '.join(comparing)} to compare with: choose "
                "metrics=musiq|niqe|dover|none"
            )


def _hr_and_lr(name: str, clip: Any, degradation: Any, seed: int) -> tuple[Any, Any]:
    """HR, None where it is not known; and LR, the clip's own or what `dcvsr.degrade` makes with this seed."""
    from dcvsr.data.pairs import Pair
    from dcvsr.data.video import to_unit
    from dcvsr.degradation.seeds import generator

    def whole(part: Any) -> Any:
        return to_unit(part.read(0, len(part)))

    if isinstance(clip, Pair):
        return whole(clip.hr) if clip.hr is not None else None, whole(clip.lr)
    hr = whole(clip)
    return hr, degradation.apply(degradation.draw(generator(seed, name), hr.shape), hr)


def _known(summary: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The means that there are, by metric."""
    return [(name, m["mean"]) for name, m in summary["metrics"].items() if m["mean"] is not None]


def _publish(cfg: DictConfig, summary: Mapping[str, Any], rows: list[Any], probes: Sequence[Any]) -> None:
    """What a run measured, as a run of wandb."""
    import wandb

    from dcvsr.models.cost import flat

    try:
        logger = instantiate(cfg.wandb)
        logger.log_table("evaluate/results", columns=list(RESULTS), data=rows)
        logger.log_metrics({f"evaluate/{name}": mean for name, mean in _known(summary)})
        logger.log_metrics(flat(summary["cost"], "evaluate/cost"))
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
