"""The command ``train``: ``python -m dcvsr.train +experiment=stage1``."""

import logging
import warnings
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import command, preflight
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.wandb_login import require_login, wandb_errors

log = logging.getLogger(__name__)


@command("train")
def main(cfg: DictConfig) -> None:
    """Train one stage; write config.yaml, metrics.csv, checkpoints/, videos/, wandb/ to the run folder."""
    _require_teacher(cfg)
    _refuse_latents_without_frames(cfg)
    if not cfg.module.get("teacher"):
        cfg.ckpt = cfg.resume or cfg.ckpt  # a resumed run needs no other weights
    preflight(cfg)
    _refuse_launch(cfg)
    _refuse_to_write_over(_folder())
    require_login(cfg.loggers.get("wandb"))
    import lightning.pytorch as pl

    from dcvsr.models.checkpoint import require_resumable

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # advice on settings chosen on purpose
    require_resumable(cfg.resume, cfg.scale, cfg.stage, cfg.trainer.max_steps, instantiate(cfg.sampler))
    pl.seed_everything(cfg.seed % 2**32, verbose=False)  # NumPy's range
    trainer = _trainer(cfg)
    data = instantiate(cfg.datamodule, _convert_="all")
    module = instantiate(cfg.module, _convert_="all")
    datamodule = data(
        steps=trainer.max_steps * trainer.accumulate_grad_batches,
        latents=_latents(cfg, data.keywords["training"], module),
    )

    start = str(module.upscaler.origin or "the initial weights of the model")
    log.info(f"stage {cfg.stage} starts from {start}")
    OmegaConf.update(cfg, "start", start, force_add=True)
    OmegaConf.save(cfg, _folder() / "config.yaml", resolve=True)
    _fit(cfg, trainer, module, datamodule)


def _trainer(cfg: DictConfig) -> Any:
    """Build Lightning's Trainer; it accumulates clips up to ``batch``, which is recorded."""
    from hydra.errors import InstantiationException
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from dcvsr.runtime.device import choose, settled_precision, trainer_precision
    from dcvsr.training.batch import accumulation
    from dcvsr.training.checkpoint_files import WholeCheckpoints

    if "accumulate_grad_batches" in cfg.trainer:
        raise UserError("trainer.accumulate_grad_batches is derived from batch; set batch instead")
    device = choose("cpu" if cfg.trainer.accelerator == "cpu" else "auto")
    cfg.precision = settled_precision(cfg.precision, device)
    cfg.trainer.precision = trainer_precision(cfg.trainer.precision, device)
    callbacks = list(instantiate(cfg.callbacks).values())
    try:
        trainer = instantiate(cfg.trainer, callbacks=callbacks, plugins=[WholeCheckpoints()], logger=False)
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException):  # such as more devices than there are
            raise UserError(str(error.__cause__)) from error
        raise
    if trainer.max_steps < 1:
        raise UserError(f"trainer.max_steps must be at least 1, got {trainer.max_steps}")
    size, processes = cfg.datamodule.batch_size, trainer.world_size
    trainer.accumulate_grad_batches = accumulation(cfg.batch, size, processes)
    recorded = {"processes": processes, "accumulated": trainer.accumulate_grad_batches}
    OmegaConf.update(cfg, "batch_parts", recorded, force_add=True)
    return trainer


def _latents(cfg: DictConfig, clips: Any, module: Any) -> Any:
    """Return the set of latents that ``data.source`` chooses; None for clips."""
    if cfg.data.source == "clips":
        return None
    from dcvsr.training.latent_contents import Encoders, contents, found

    latents = found(Path(cfg.latents), contents(cfg, clips, Encoders.of(module.upscaler)))
    log.info(f"training on {latents.samples} samples of latents in {latents.folder}")
    return latents


def _fit(cfg: DictConfig, trainer: Any, module: Any, datamodule: Any) -> None:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    last = _folder() / "checkpoints" / "last.ckpt"
    try:
        trainer.loggers = list(instantiate(cfg.loggers, _convert_="all").values())
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                with wandb_errors():
                    logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
        trainer.fit(module, datamodule=datamodule, ckpt_path=cfg.resume)
    except SystemExit as stop:  # Lightning exits on Ctrl-C
        if last.is_file():
            log.info(f"\nresume with resume={last}")
        raise KeyboardInterrupt from stop
    finally:
        wandb.finish()
    trainer.save_checkpoint(last)
    scores = ", ".join(f"{name} {value:.4g}" for name, value in sorted(trainer.callback_metrics.items()))
    log.info(f"stage {cfg.stage}: {trainer.global_step} steps, {scores}\ncheckpoint: {last}")


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _require_teacher(cfg: DictConfig) -> None:
    """Refuse to resume a run with a teacher, the network that it started from, unless ``ckpt`` names it."""
    if cfg.resume and cfg.module.get("teacher") and cfg.ckpt in (None, "newest", "required"):
        raise UserError(
            "a resumed run with a teacher needs the weights that it started from: add ckpt=FILE, "
            f"'start' in {Path(cfg.resume).parents[1] / 'config.yaml'}"
        )


def _refuse_latents_without_frames(cfg: DictConfig) -> None:
    """Refuse latents in stage 3, whose losses compare frames."""
    if cfg.stage == 3 and cfg.data.source == "latents":
        raise UserError("stage 3 compares decoded frames with HR, which latents lack; set data.source=clips")


def _refuse_to_write_over(folder: Path) -> None:
    """Refuse a folder with a run: Lightning would delete its metrics.csv, also that of a resumed run."""
    if (folder / "metrics.csv").exists():
        raise UserError(
            f"{folder} already holds a run; give another folder with hydra.run.dir=..., also to resume"
        )


def _refuse_launch(cfg: DictConfig) -> None:
    from dcvsr.training.launch import refuse_launch

    hydra = HydraConfig.get()
    counts = cfg.trainer.devices, cfg.trainer.num_nodes
    sweeping = hydra.mode == RunMode.MULTIRUN
    refuse_launch(hydra.runtime.choices["trainer"], *counts, sweeping, hydra.overrides.hydra)


if __name__ == "__main__":
    main()
