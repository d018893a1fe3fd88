"""Command lines and keys that README documented at version 0.1.0 (commit 0f8a7d0) still compose.

Each runs through `dcvsr.runtime.cli.command`, with a task that only records its configuration.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcvsr.runtime.cli import CONF
from tests.conftest import Compose, Run

ROOT = Path(__file__).parents[1]
LINES = {
    "train +experiment=stage1": 1,
    "train +experiment=stage2": 1,
    "upscale input=a.mp4 output=b.mp4": 1,
    "evaluate upscaler=dcvsr seeds=3": 1,
    "evaluate -m +sweep=table2": 6,
    "degrade input=hr/ output=lr/ seed=0": 1,
    "reds input=FOLDER output=data/REDS": 1,
    "figure3 input=a.mp4 output=fig3.png": 1,
    "evaluate -m +experiment=table1 metrics=none data=unseen": 4,
    "images -m +experiment=table3": 3,
    "images -m +experiment=table3 pipeline=sd": 3,
    "report runs=FOLDER output=page.html": 1,
    "report runs=FOLDER output=page.html +paper=table1": 1,
    "report runs=FOLDER output=page.html equal_evaluations=true wandb=online": 1,
    "evaluate -m +sweep=ambiguities": 25,
    **{f"evaluate metrics=none ckpt={value}": 1 for value in ("shipped", "required", "null", "last.ckpt")},
    "evaluate hydra.run.dir=here": 1,
    "evaluate metrics=none upscaler=precomputed upscaler.path=FOLDER": 1,
    "evaluate metrics=none data=folder data.path=FOLDER": 1,
    "evaluate metrics=none data=pairs data.path=FOLDER data.lr=FOLDER": 1,
}
"""Arguments of ``python -m dcvsr.`` -> number of jobs that they run."""

FLAGS = {
    "evaluate calibrate=true golden=FOLDER": "python -m dcvsr.evaluation.calibration golden=FOLDER",
    "degrade input=hr/ output=lr/ verify=true": "python -m dcvsr.degrade verify input=hr/ output=lr/",
    "degrade input=hr/ output=lr/ preview=true": "python -m dcvsr.degrade preview input=hr/ output=lr/",
}
"""Command lines whose flag became a command, and that command."""

SCRIPTS = ["experiments/figures/figures.py figure7 --data CLIPS", "experiments/dashboard/dashboard.py"]

UPSCALE = "upscale input=a.mp4 output=b.mp4"
DSSAG = f"{UPSCALE} guidance=dssag"
SVD = f"{UPSCALE} scale=svd"
DEGRADE = "degrade input=hr output=lr degradation=realbasicvsr"
KEYS = [
    # The method.
    (UPSCALE, "propagation", "none sap tap dcvsr"),
    (UPSCALE, "propagation.sap.rate", "0.25 0.0625 null"),
    (UPSCALE, "propagation.sap.exchange", "lockstep two_pass"),
    (UPSCALE, "propagation.tap.frames", "4 2"),
    (UPSCALE, "propagation.tap.selection", "std channel_std random first"),
    (UPSCALE, "propagation.tap.anchors", "0 2"),
    (UPSCALE, "guidance", "none cfg sag pag dssag"),
    (f"{UPSCALE} guidance=cfg", "guidance.scale", "1.0 2.0"),
    (f"{UPSCALE} guidance=sag", "guidance.detail_scale", "1.0 2.0"),
    (f"{UPSCALE} guidance=pag", "guidance.detail_scale", "1.0 2.0"),
    (DSSAG, "guidance.rho", "1.0 0.5"),
    (DSSAG, "guidance.sigma_min", "0.002 0.02"),
    (DSSAG, "guidance.sigma_max", "700 70"),
    (DSSAG, "guidance.uncond", "zero_all keep_latent keep_all"),
    (DSSAG, "guidance.interval.lo", "0 1"),
    (DSSAG, "guidance.interval.hi", "inf 10"),
    (UPSCALE, "tile.schedule", "overlap shifted"),
    (UPSCALE, "sampler.solver", "euler heun"),
    (UPSCALE, "sampler.steps", "1 25"),
    (SVD, "upscaler.image_frames", "first each first_of_video"),
    (UPSCALE, "model.noise_augmentation", "0 0.02"),
    ("train +experiment=stage1", "module.noise_augmentation", "null [-3,0.5]"),
    (UPSCALE, "upscaler.colour", "none wavelet adain"),
    (SVD, "model.latents.autoencoder.overlap", "0 7"),
    (SVD, "model.latents.autoencoder.tile", "null 64"),
    (UPSCALE, "upscaler.batch", "1 4 null"),
    ("train +experiment=stage1", "module.dropout_mode", "joint triple"),
    ("train +experiment=stage1", "module.dropout", "0.1 0"),
    (UPSCALE, "debug.attention", "false true"),
    # Readings of the paper.
    *[
        (f"{DSSAG} propagation=dcvsr", key, values)
        for key, values in [
            ("propagation.parity", "countdown ascending"),
            ("propagation.branches", "own conditional shared"),
            ("propagation.tap.choice", "per_layer first_layer"),
            ("propagation.tap.direction", "alternate random both"),
            ("propagation.tap.source", "chained clean"),
            ("guidance.maxima", "head frame tile"),
            ("guidance.first_scale", "null 0.0"),
            ("upscaler.blend", "0.1 0.25"),
            ("upscaler.blend_time", "0.1 inf"),
            ("tile.border", "shift pad"),
        ]
    ],
    # Runs.
    ("evaluate metrics=none", "scale", "nano svd"),
    ("evaluate metrics=none", "wandb", "none offline online"),
    ("evaluate metrics=none", "cache", "none folder"),
    ("evaluate metrics=none", "keep", "mp4 png"),
    ("evaluate metrics=none", "seeds", "1 3"),
    ("train +experiment=stage1", "batch", "2 4"),
    ("train +experiment=stage1", "data.batch_size", "1 2"),
    # The data.
    ("train +experiment=stage1", "degradation", "realbasicvsr light bicubic none"),
    (DEGRADE, "degradation.codec", "pyav none"),
    (DEGRADE, "degradation.jpeg", "auto kornia libjpeg"),
    (DEGRADE, "degradation.resample", "opencv antialiased"),
    (DEGRADE, "degradation.usm.source", "true false"),
    (DEGRADE, "degradation.usm.target", "true false"),
    (DEGRADE, "degradation.steps.noise1.sigma.high", "20 30"),
    ("evaluate metrics=none", "data", "reds udm10 videolq packaged synthetic repeated published unseen"),
    # The scores.
    ("evaluate", "metrics", "full fidelity temporal seams paper none [psnr_y,niqe,flat_noise] sharpness"),
    ("evaluate metrics=temporal", "metrics.flow", "raft spynet dis farneback"),
    (
        "evaluate metrics=none",
        "upscaler",
        "dcvsr bicubic enlarger realesrgan realesrgan_anime basicvsr basicvsr_vimeo swinir realbasicvsr",
    ),
]
"""A command line, a key that it takes, and the values of the key that README listed, as a sweep."""


@pytest.mark.parametrize(("line", "jobs"), LINES.items())
def test_command_line_composes(composed: Compose, line: str, jobs: int) -> None:
    assert len(composed(line)) == jobs


@pytest.mark.parametrize(("line", "key", "values"), KEYS)
def test_each_value_of_a_key_gives_another_configuration(
    composed: Compose, line: str, key: str, values: str
) -> None:
    found = composed(f"{line} {key}={','.join(values.split())}".replace(" ", " -m ", 1))
    assert len(set(found)) == len(found) == len(values.split())


@pytest.mark.parametrize(("line", "name"), FLAGS.items())
def test_flag_that_became_a_command_names_it(run: Run, line: str, name: str) -> None:
    done = run(*line.split())
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert name in done.err


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_takes_its_arguments(script: str, tmp_path: Path) -> None:
    name, *arguments = script.split()
    done = subprocess.run(
        [sys.executable, ROOT / name, *arguments, "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_the_configurations_are_the_checkout_s() -> None:
    assert CONF == ROOT / "conf"
