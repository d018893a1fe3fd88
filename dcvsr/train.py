"""The command ``train``: ``python -m dcvsr.train +experiment=stage1``."""

import logging
import sys
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
from dcvsr.training.launch import is_first_process, refuse_launch, working_in

log = logging.getLogger(__name__)


@command("train")
def main(cfg: DictConfig) -> dict[str, float]:
    """Train one stage; write config.yaml, metrics.csv, checkpoints/, videos/, wandb/; return the scores."""
    _refuse_latents_without_frames(cfg)
    with working_in(_folder()):
        if "stages" in cfg:
            from dcvsr.training.all_stages import run_all

            run_all(cfg, _folder(), sys.argv[1:], HydraConfig.get().mode == RunMode.MULTIRUN)
            return {}
        return _train(cfg)


def _train(cfg: DictConfig) -> dict[str, float]:
    resumed = _resumed(cfg) if cfg.resume else None
    if resumed and resumed.step >= cfg.trainer.max_steps:
        log.info(f"{resumed}: all {cfg.trainer.max_steps} steps are done; there is nothing to do")
        return {}
    preflight(cfg)
    _refuse_launch(cfg)
    if is_first_process():
        _refuse_to_write_over(_folder(), cfg.resume)
    require_login(cfg.loggers.get("wandb"))
    import lightning.pytorch as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # advice on settings chosen on purpose
    pl.seed_everything(cfg.seed % 2**32, verbose=False)  # NumPy's range
    trainer = _trainer(cfg)
    data = instantiate(cfg.datamodule, _convert_="all")
    module = instantiate(cfg.module, _convert_="all")
    datamodule = data(
        steps=trainer.max_steps * trainer.accumulate_grad_batches,
        latents=_latents(cfg, data.keywords["training"], module),
    )

    _record(cfg, module.upscaler.origin, resumed)
    return _fit(cfg, trainer, module, datamodule)


def _resumed(cfg: DictConfig) -> Any:
    """Settle ``resume`` and ``ckpt``; return the checkpoint to resume from, or None."""
    from dcvsr.models.checkpoint import open_checkpoint, require_resumable
    from dcvsr.training.resumption import newest_to_resume, start_file

    resume: str = cfg.resume
    if resume == "auto":
        found = newest_to_resume(_folder(), None if _is_folder_named() else cfg.runs, cfg.scale, cfg.stage)
        cfg.resume = resume = str(found.path) if found else ""
        # Lightning starts further processes with these arguments.
        sys.argv[1:] = [argument for argument in sys.argv[1:] if not argument.startswith("resume=")]
        if found is None:
            log.info("found no checkpoint to resume; training starts from the first step")
            if is_first_process():  # a run may have been killed before its first checkpoint
                (_folder() / "metrics.csv").unlink(missing_ok=True)
            cfg.resume = None
            return None
        sys.argv.append(f"resume={found.path}")
        if found.stage == cfg.stage and found.step >= cfg.trainer.max_steps:
            return found
    steps, sampler = cfg.trainer.max_steps, instantiate(cfg.sampler)
    require_resumable(resume, cfg.scale, cfg.stage, steps, sampler, cfg.seed)
    if not cfg.module.get("teacher"):
        cfg.ckpt = resume  # a resumed run needs no other weights
    elif cfg.ckpt in (None, "newest", "required"):
        cfg.ckpt = start_file(Path(resume))
    return open_checkpoint(resume, cfg.scale)


def _record(cfg: DictConfig, origin: Any, resumed: Any) -> None:
    """Write config.yaml to the run folder, with the metrics and the id in wandb of a run to resume."""
    from dcvsr.runtime.files import write_whole
    from dcvsr.training.metrics_file import carry_metrics
    from dcvsr.training.resumption import run_folder, start_of, wandb_id

    start = str(origin or "the initial weights of the model")
    log.info(f"stage {cfg.stage} {'resumes' if resumed else 'starts'} from {resumed or start}")
    OmegaConf.update(cfg, "start", (resumed and start_of(resumed.path)) or start, force_add=True)
    if not is_first_process():
        return
    if resumed:
        carry_metrics(run_folder(resumed.path), _folder(), resumed.step)
    logger = cfg.loggers.get("wandb", {})
    if "project" in logger and "id" not in logger:
        name = wandb_id(cfg.resume, _folder() / "checkpoints")
        OmegaConf.update(cfg, "wandb.id", name, force_add=True)
    # Whole or not at all: another process of a run that resumes in its folder may be reading it.
    write_whole(_folder() / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))


def _trainer(cfg: DictConfig) -> Any:
    """Build Lightning's Trainer; it accumulates clips up to ``batch``, which is recorded."""
    from hydra.errors import InstantiationException
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from dcvsr.runtime.device import choose, settled_precision, trainer_precision
    from dcvsr.training.batch import accumulation
    from dcvsr.training.checkpoint_files import WholeCheckpoints
    from dcvsr.training.non_finite import refuse_two_frames

    if "accumulate_grad_batches" in cfg.trainer:
        raise UserError("trainer.accumulate_grad_batches is derived from batch; set batch instead")
    device = choose("cpu" if cfg.trainer.accelerator == "cpu" else "auto")
    cfg.precision = settled_precision(cfg.precision, device)
    cfg.trainer.precision = trainer_precision(cfg.trainer.precision, device)
    refuse_two_frames(cfg.trainer.precision, device, cfg.data.frames)
    callbacks = list(instantiate(cfg.callbacks).values())
    try:
        trainer = instantiate(
            cfg.trainer,
            callbacks=callbacks,
            plugins=[WholeCheckpoints(cfg.save_in_background)],
            logger=False,
            enable_checkpointing=False,  # callbacks.checkpoint saves
        )
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


def _fit(cfg: DictConfig, trainer: Any, module: Any, datamodule: Any) -> dict[str, float]:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    from dcvsr.training.non_finite import NotFinite
    from dcvsr.training.preemption import Preempted

    last = _folder() / "checkpoints" / "last.ckpt"
    try:
        trainer.loggers = list(instantiate(cfg.loggers, _convert_="all").values())
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                with wandb_errors():
                    logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
        trainer.fit(module, datamodule=datamodule, ckpt_path=cfg.resume, weights_only=True)
    except SystemExit as stop:  # Lightning exits on Ctrl-C
        if last.is_file():
            log.info(f"\nresume with resume=auto hydra.run.dir={_folder()}")
        raise KeyboardInterrupt from stop
    except NotFinite as stop:
        if not is_first_process():  # the first tells the user
            raise SystemExit(0) from stop
        raise
    except Preempted as stop:
        if not is_first_process():  # Lightning would kill the first process if this one ended with an error
            raise SystemExit(0) from stop
        way_out = f"resume with resume=auto hydra.run.dir={_folder()}"
        log.info(f"\n{stop} at step {trainer.global_step}; {way_out}")
        raise SystemExit(128 + stop.number) from stop
    finally:
        wandb.finish()
    found = {name: value for name, value in sorted(trainer.callback_metrics.items()) if _is_score(name)}
    scores = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    log.info(f"stage {cfg.stage}: {trainer.global_step} steps, {scores}\ncheckpoint: {last}")
    return {name.removeprefix("val/"): float(value) for name, value in trainer.callback_metrics.items()}


def _is_score(name: str) -> bool:
    return name == "train/loss" or name.startswith("val/")


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _is_folder_named() -> bool:
    """Return True if the user or a sweep chose this run's folder, in which ``resume=auto`` looks."""
    hydra = HydraConfig.get()
    named = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    return named or hydra.mode == RunMode.MULTIRUN


def _refuse_latents_without_frames(cfg: DictConfig) -> None:
    """Refuse latents in stage 3, whose losses compare frames."""
    if cfg.stage == 3 and cfg.data.source == "latents":
        raise UserError("stage 3 compares decoded frames with HR, which latents lack; set data.source=clips")


def _refuse_to_write_over(folder: Path, resume: str | None) -> None:
    """Refuse a folder with another run than the one to resume."""
    if (folder / "metrics.csv").exists() and (
        resume is None or Path(resume).resolve().parents[1] != folder.resolve()
    ):
        raise UserError(
            f"{folder} already holds a run: continue it with resume=auto, or give another folder with "
            "hydra.run.dir=..."
        )


def _refuse_launch(cfg: DictConfig) -> None:
    hydra = HydraConfig.get()
    counts = cfg.trainer.devices, cfg.trainer.num_nodes
    sweeping = hydra.mode == RunMode.MULTIRUN
    refuse_launch(hydra.runtime.choices["trainer"], *counts, sweeping, hydra.overrides.hydra)


if __name__ == "__main__":
    main()
