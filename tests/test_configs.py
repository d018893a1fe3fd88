"""Every configuration composes and instantiates."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.attention.alternating import PARITIES
from dcvsr.attention.branches import BRANCHES
from dcvsr.attention.exchange import EXCHANGES, SOURCES
from dcvsr.attention.selection import CHOICES as CHOICES_OF_LAYERS
from dcvsr.attention.selection import DIRECTIONS, SELECTIONS
from dcvsr.degradation.codec import VIDEO_CODERS
from dcvsr.degradation.jpeg import JPEG_CODERS
from dcvsr.degradation.resample import RESAMPLES
from dcvsr.diffusion.guidance import MAXIMA, PERTURBED_LAYERS, UNCOND
from dcvsr.diffusion.sampler import Solver
from dcvsr.runtime.cli import CONF, refused_value
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.options import PACKAGES, options
from dcvsr.tiling.grid import BORDERS, SCHEDULES

GROUPS = {
    str(folder.relative_to(CONF)): sorted(file.stem for file in folder.glob("*.yaml"))
    for folder in CONF.rglob("*")
    if any(folder.glob("*.yaml"))
}
GROUPS |= {group: options(group) for group in PACKAGES}
EXPERIMENTS = GROUPS.pop("experiment")
TABLES = ["table1", "table2"]
SWEEPS = GROUPS.pop("sweep")
WAYS = {
    "jobs": "BasicLauncher",
    "optuna": "BasicLauncher",
    "parallel": "JoblibLauncher",
    "ray": "RayLauncher",
    "submitit_local": "LocalLauncher",
    "submitit_slurm": "SlurmLauncher",
}
"""Sweeps that only choose how jobs run, and their launchers."""
IMAGES = {group: GROUPS.pop(group) for group in ("captions", "image_guidance", "pipeline")}
"""Groups that only python -m dcvsr.text2image reads."""
ADDED = {group: GROUPS.pop(group) for group in ("alternative", "table2")}
TEACHERS = GROUPS.pop("teacher.guidance")
for group in ("paper", "calibration"):
    GROUPS.pop(group)
ELSEWHERE = ("DCVSR_WEIGHTS", "pip install")
"""How to get what does not come along: one of these is in what a choice says that lacks it."""
CHOICES = {
    "propagation.parity": PARITIES,
    "propagation.branches": BRANCHES,
    "propagation.sap.exchange": EXCHANGES,
    "propagation.tap.selection": SELECTIONS,
    "propagation.tap.choice": CHOICES_OF_LAYERS,
    "propagation.tap.direction": DIRECTIONS,
    "propagation.tap.source": SOURCES,
    "guidance.uncond": UNCOND,
    "guidance.maxima": MAXIMA,
    "guidance.layers": PERTURBED_LAYERS,
    "sampler.solver": get_args(Solver),
    "tile.schedule": SCHEDULES,
    "tile.border": BORDERS,
    "degradation.jpeg": JPEG_CODERS,
    "degradation.codec": VIDEO_CODERS,
    "degradation.resample": RESAMPLES,
}
"""Keys whose values are names, and these names."""
PAPER = ["scale=svd", "+experiment=stage1"]


def _compose(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(overrides))


@pytest.mark.parametrize("scale", GROUPS["scale"])
@pytest.mark.parametrize("experiment", sorted({*EXPERIMENTS} - {*TABLES, "table3"}))
def test_every_training_composes_at_every_scale(experiment, scale):
    folders = (
        "wandb.save_dir",
        "loggers.csv.save_dir",
        "callbacks.checkpoint.dirpath",
        "callbacks.cost.folder",
        "callbacks.side_by_side.folder",
    )
    cfg = _compose("train", f"+experiment={experiment}", f"scale={scale}", *(f"{key}=run" for key in folders))
    settings = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert settings["scale"] == scale  # type: ignore[index]


@pytest.mark.parametrize("scale", GROUPS["scale"])
@pytest.mark.parametrize("table", TABLES)
def test_every_table_of_the_paper_is_a_sweep(table, scale):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"+experiment={table}", f"scale={scale}"], return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    [(key, rows)] = cfg.hydra.sweeper.params.items()
    choices = {"upscaler": GROUPS["upscaler"], "+table2": ADDED["table2"]}
    assert set(rows.split(",")) <= set(choices[key])


def test_table_3_is_a_sweep_over_the_rows_of_the_paper():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("text2image", ["+experiment=table3"], return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    rows = OmegaConf.load(CONF / "paper/table3.yaml").rows
    assert cfg.hydra.sweeper.params["guidance"].split(",") == rows


@pytest.mark.parametrize(
    ("group", "option"), [(g, option) for g in ("captions", "pipeline") for option in IMAGES[g]]
)
def test_every_choice_for_images_composes(group, option):
    assert _compose("text2image", f"{group}={option}")[group]._target_


@pytest.mark.parametrize("guidance", ["none", "cfg", "sag", "pag", "dssag"])
def test_every_guidance_of_images_instantiates_at_the_scale_of_stable_diffusion(guidance):
    cfg = _compose("text2image", f"guidance={guidance}", "sampler.sigma_min=0.04", "sampler.sigma_max=13")
    built = instantiate(cfg.guidance)
    assert getattr(built, "scale", None) == (6.5 if guidance in IMAGES["image_guidance"] else None)
    assert cfg.keys().isdisjoint({"image_guidance"})


@pytest.mark.parametrize(
    ("group", "option"), [(g, option) for g, options in GROUPS.items() for option in options]
)
def test_every_option_composes_in_a_command_that_has_its_group(group, option):
    root = group.partition("/")[0]
    commands = [
        name
        for name in ("train", "upscale", "evaluate")
        if f"- {root}:" in (CONF / f"{name}.yaml").read_text()
    ]
    assert commands, f"no command reads conf/{group}"
    for command in commands:
        _compose(command, f"{group}={option}")


@pytest.mark.parametrize("guidance", TEACHERS)
def test_every_guidance_of_a_teacher_is_that_of_upscaling(guidance):
    found = _compose("train", "+experiment=stage3", f"teacher.guidance={guidance}").module.teacher
    assert found == (
        None if guidance == "no_teacher" else _compose("upscale", f"guidance={guidance}").guidance
    )


@pytest.mark.parametrize(("key", "choices"), CHOICES.items())
def test_every_choice_of_a_name_instantiates(key, choices):
    root = key.partition(".")[0]
    parents = ["guidance=pag" if key == "guidance.layers" else "guidance=dssag", "degradation=light"]
    built = [
        instantiate(_compose("evaluate", *parents, f"{key}={choice}", "ckpt=null")[root], _convert_="all")
        for choice in choices
    ]
    assert len({str(choice) for choice in built}) == len(built) > 1


@pytest.mark.parametrize(
    ("group", "option"), [(g, option) for g, options in ADDED.items() for option in options]
)
def test_every_reading_and_row_instantiates(group, option):
    cfg = _compose("evaluate", "guidance=dssag", f"+{group}={option}", "ckpt=null")
    for part in (cfg.propagation, cfg.guidance, cfg.tile, cfg.sampler):
        assert instantiate(part, _convert_="all") is not None


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_has_its_launcher(sweep):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"+sweep={sweep}"], return_hydra_config=True)
    assert cfg.hydra.launcher["_target_"].endswith(WAYS.get(sweep, "JoblibLauncher"))
    assert cfg.hydra.mode.name == "MULTIRUN", "without -m only one job would run"
    assert (sweep in WAYS) == (not cfg.hydra.sweeper.params)


def test_table_2_is_the_paper_s():
    """SAP, TAP and guidance of its six rows, in order."""
    rows = _compose_sweep("table2")["+table2"].split(",")
    chosen = []
    for row in rows:
        cfg = _compose("evaluate", f"+table2={row}", "ckpt=null")
        propagation = cfg.propagation
        chosen.append(
            (bool(propagation.get("sap")), bool(propagation.get("tap")), cfg.guidance._target_[-5:])
        )
    assert chosen == [
        (False, False, "e.CFG"),
        (True, False, "e.CFG"),
        (False, True, "e.CFG"),
        (True, True, "DSSAG"),
        (True, True, "e.SAG"),
        (True, True, "e.PAG"),
    ]


@pytest.mark.parametrize("experiment", ["stage1", "stage2"])
@pytest.mark.parametrize(("scale", "degradation"), [("svd", "realbasicvsr"), ("nano", "light")])
def test_training_degrades_as_its_scale_asks(experiment, scale, degradation):
    chosen = _compose("train", f"+experiment={experiment}", f"scale={scale}").degradation
    named = _compose("train", f"+experiment={experiment}", f"degradation={degradation}").degradation
    assert chosen == named


def test_a_sweep_without_wandb_has_a_logger():
    """It failed at its end: the sweep gave the logger a name that only wandb's takes."""
    instantiate(_compose("evaluate", "+sweep=parallel", "wandb=none").wandb).log_metrics({"psnr": 1.0})


def _compose_sweep(name: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("evaluate", [f"+sweep={name}"], return_hydra_config=True).hydra.sweeper.params


@pytest.mark.parametrize("group", ["guidance", "propagation", "degradation", "sampler", "tile", "upscaler"])
def test_every_small_option_instantiates(group, tmp_path):
    for option in GROUPS[group]:
        given = ["upscaler.path=results"] if option == "precomputed" else []
        cfg = _compose("evaluate", f"{group}={option}", "ckpt=null", f"runs={tmp_path}", *given)
        lacks = _lacks(cfg[group])
        assert not lacks or any(way_out in lacks for way_out in ELSEWHERE)


def test_every_metric_instantiates():
    metrics = {}
    for option in GROUPS["metrics"]:
        metrics |= _compose("evaluate", f"metrics={option}", "ckpt=null").metrics
    for part in metrics.values():
        lacks = _lacks(part)
        assert not lacks or any(way_out in lacks for way_out in ELSEWHERE)


def _lacks(part: DictConfig) -> str:
    """Return the error message of an option that cannot be instantiated."""
    try:
        instantiate(part, _convert_="all")
    except InstantiationException as error:
        return refused_value(error) or str(error)
    return ""


@pytest.mark.parametrize("data", ["packaged", "synthetic"])
def test_the_data_that_come_along_instantiate(data, tmp_path):
    cfg = _compose("train", f"data={data}", "+experiment=stage1", f"runs={tmp_path}")
    datamodule = instantiate(cfg.datamodule, _convert_="all")(steps=1)
    batch = datamodule.on_after_batch_transfer(next(iter(datamodule.train_dataloader())), 0)
    assert batch["hr"].shape == (1, cfg.data.frames, 3, cfg.data.crop, cfg.data.crop)
    assert batch["lr"].shape[-1] == cfg.data.crop // 4
    assert len(instantiate(cfg.data.test, _convert_="all")) > 0


def test_scale_svd_is_the_paper_s_recipe():
    """Appendix A and section 3."""
    cfg = _compose("train", *PAPER)
    assert (cfg.data.frames, cfg.data.crop) == (14, 512)
    assert cfg.batch == 256
    assert cfg.trainer.val_check_interval * cfg.trainer.max_steps == 250
    assert (
        cfg.trainer.max_steps
        == _compose("train", "scale=svd", "+experiment=stage2").trainer.max_steps
        == 5000
    )
    assert cfg.module.optimizer.lr == 1e-4
    assert cfg.model.denoiser.ids == [8, 127, 0]
    assert (cfg.tile.size, cfg.tile.frames, cfg.tile.overlap) == (64, 14, 0.5)
    assert (cfg.sampler.steps, cfg.sampler.sigma_min, cfg.sampler.sigma_max) == (25, 0.002, 700)


def test_svd_loads_what_a_folder_holds(tmp_path):
    """The loading code of scale=svd, up to what only real weights can show."""
    (tmp_path / "unet").mkdir()
    cfg = _compose("train", *PAPER, f"model.weights={tmp_path}")
    with pytest.raises(InstantiationException) as error:
        instantiate(cfg.model.denoiser)
    cause = error.value.__cause__
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__
    assert "lacks unet/config.json" in str(cause)


def test_reds_names_what_is_missing(tmp_path):
    for clip in range(269):
        (tmp_path / f"{clip:03d}").mkdir()
        for frame in range(100 - (clip == 7)):
            (tmp_path / f"{clip:03d}" / f"{frame:08d}.png").touch()
    missing = r"lacks 1 of 270 clips \(269\) and frames of 1 of 270 clips \(007 has 99 of 100, not .*99.png"
    with pytest.raises(InstantiationException, match=missing):
        instantiate(_compose("train", *PAPER, f"data.path={tmp_path}").data.requires)


def test_precision_is_a_torch_type():
    upscaler = instantiate(_compose("upscale", "precision=bfloat16", "ckpt=null").upscaler, _convert_="all")
    assert upscaler.precision is torch.bfloat16


def test_conf_is_found_from_anywhere():
    assert CONF.is_absolute()
    assert Path(CONF, "train.yaml").is_file()
