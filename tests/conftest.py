"""Fixtures of the tests of commands."""

import gc
import importlib
import importlib.util
import json
import logging
import os
import random
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, settings

from dcvsr import __main__ as commands
from tests.composing import remember_compositions

settings.register_profile(
    "dcvsr",
    deadline=None,  # A busy machine stalls any example, and drawing too.
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=False,  # In CI too, new examples find new faults; the blob repeats one anywhere.
    print_blob=True,
)
settings.register_profile("stress", settings.get_profile("dcvsr"), max_examples=1000)
settings.load_profile("dcvsr")


def under_stress() -> bool:
    """Tell whether ``make stress`` runs; test modules may ask when they are imported."""
    return settings().max_examples == settings.get_profile("stress").max_examples


# Seconds for wandb's service, which wandb gives 30 and 90: a busy machine takes longer to start it.
os.environ |= {"WANDB__SERVICE_WAIT": "240", "WANDB_INIT_TIMEOUT": "240"}

# OmegaConf reads and writes YAML in Python; libyaml does the same several times as fast.
yaml.SafeLoader, yaml.Dumper = yaml.CSafeLoader, yaml.CDumper  # type: ignore[misc]
remember_compositions()


_imported = 0
"""The number of modules when the garbage collector was last spared them."""


def pytest_collection_finish() -> None:
    """Spare the garbage collector the imported modules: it took a fifth of a composition's time."""
    _spare_imports()


def _spare_imports() -> None:
    global _imported  # noqa: PLW0603
    if len(sys.modules) > _imported + 100:
        gc.collect()
        gc.freeze()
        _imported = len(sys.modules)


TINY = (
    "data=synthetic",
    "data.crop=64",
    "data.frames=4",
    "model.denoiser.unet.channels=[32,32]",
    "model.denoiser.unet.heads=[1,1]",
    "model.denoiser.unet.layers=1",
    "tile.size=16",
    "tile.frames=4",
    "sampler.steps=2",
)
"""nano, small enough to train a few steps within a test."""

QUICK = ("metrics=fidelity", "~loggers.wandb", "~callbacks.cost", "datamodule.validated.tiles=1")
"""Training that counts no FLOPs, as test_training_cost.py does, and validates no clip of several tiles, as
test_validation.py does."""

TINY_MODEL = TINY[3:]

SVD_SCHEDULER = {
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""The scheduler that SVD's weights come with (spec 2.2)."""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Finished]


@pytest.fixture(autouse=True)
def independent() -> Iterator[None]:
    """Start each test from the same random state, and give PyTorch its threads back after it."""
    _spare_imports()
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")  # Tests of pages alone do not wait for its import.
    if not torch:
        yield
        return
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@contextmanager
def restored() -> Iterator[None]:
    """Undo what a command sets up for its whole process: Hydra's log handlers and its full tracebacks."""
    root = logging.getLogger()
    level, handlers, traceback = root.level, root.handlers[:], os.environ.get("HYDRA_FULL_ERROR")
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        if traceback is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)


def module_of(command: str) -> ModuleType:
    """Return the module that ``python -m`` runs for ``command``."""
    name = commands.module_of(command)
    spec = importlib.util.find_spec(name)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return importlib.import_module(f"{name}.__main__" if is_package else name)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command as ``python -m dcvsr.<command> ...`` would, from ``tmp_path``."""

    def invoke(command: str, *arguments: str) -> Finished:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        capfd.readouterr()
        code = 0
        with restored():
            try:
                module_of(command).main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        return Finished(code, *capfd.readouterr())

    return invoke


Compose = Callable[[str], list[str]]


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Return the configuration of each job of ``dcvsr <line>``, resolved, as JSON; nothing else runs."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf

    from dcvsr.runtime.cli import command

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hydra.core.plugins.Plugins.instantiate_launcher", _one_after_the_other)
    # The launcher composes every job again; once is enough here.
    monkeypatch.setattr("hydra.plugins.sweeper.Sweeper.validate_batch_is_legal", lambda *_: None)

    monkeypatch.setattr("dcvsr.runtime.sweeps.gc", SimpleNamespace(collect=int))  # jobs hold no tensors

    def run(line: str) -> list[str]:
        line = re.sub("^degrade (verify|preview)", r"degrade_\1", line)
        line = re.sub(r"^plan (\+experiment)", r"plan_training \1", line)
        name, *arguments = shlex.split(line.replace("images", "text2image", 1))
        monkeypatch.setattr(sys, "argv", [name, *arguments, "hydra.output_subdir=null"])  # Writes no .hydra/.
        jobs: list[str] = []

        def record(cfg: DictConfig) -> dict[str, float] | None:
            text = json.dumps(OmegaConf.to_container(cfg, resolve=True), sort_keys=True)
            jobs.append(text.replace(HydraConfig.get().runtime.output_dir, "RUN"))  # jobs differ in it
            return {cfg.objective: 0.0} if "objective" in cfg else None

        with restored(), monkeypatch.context() as patch:
            if "-m" in arguments:  # Hydra would compose the command once more to find that out.
                patch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: RunMode.MULTIRUN)
            command(name)(record)()
        return jobs

    return run


def _one_after_the_other(plugins: Any, **parts: Any) -> Any:
    """Return a launcher that runs a sweep's jobs in this process."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    basic = BasicLauncher()
    basic.setup(**parts)
    return basic


@pytest.fixture
def train(run: Run) -> Run:
    """Train a few steps at tiny size, without wandb."""

    def invoke(experiment: str, *arguments: str) -> Finished:
        return run("train", f"+experiment={experiment}", *TINY, *QUICK, *arguments)

    return invoke


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Values logged to wandb by key, with the settings at ``config``; wandb writes in the background."""
    from lightning.pytorch.loggers import WandbLogger

    sent: dict[str, Any] = {}
    kinds = {
        "log_hyperparams": lambda _, params: sent.update(config=params),
        "log_metrics": lambda _, metrics, step=None: sent.update(metrics),
        "log_table": lambda _, key, **table: sent.update({key: table}),
        "log_video": lambda _, key, videos, **how: sent.update({key: videos}),
    }
    for name, record in kinds.items():
        monkeypatch.setattr(WandbLogger, name, record)
    return sent


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video file, 24x20."""
    from dcvsr.data.synthetic import Translation
    from dcvsr.video.io import to_unit, write_clip

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    frames = Translation(seed=0, frames=3, height=20, width=24, dx=0.5, dy=0.2).read(0, 3)
    write_clip(path, to_unit(frames), Fraction(25), crf=0)
    return path
