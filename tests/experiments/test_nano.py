"""A model gets into the package as it was trained; short trainings are compared, and none is done twice."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors import safe_open
from torch import Tensor

from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.checkpoint import open_checkpoint
from dcvsr.models.upsampler import frozen
from dcvsr.runtime.cli import CONF
from tests.conftest import restored

HERE = Path(__file__).parents[2] / "experiments" / "nano"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    def invoke(ckpt: Path) -> Path:
        output = tmp_path / "nano.safetensors"
        monkeypatch.setattr(sys, "argv", ["ship", str(ckpt), "--output", str(output)])
        _script("ship").main()
        return output

    return invoke


def _run(
    folder: Path, weights: dict[str, torch.Tensor], step: int = 5, about: dict[str, Any] | None = None
) -> Path:
    last = folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    (folder / ".hydra").mkdir()
    given = [
        "+experiment=nano_stage2",
        "seed=3",
        "data.path=/home/me/clips",
        "ckpt=a.ckpt",
        "hydra.run.dir=b",
    ]
    OmegaConf.save(given, folder / ".hydra" / "overrides.yaml")
    about = {"scale": "nano", "stage": 2, **(about or {})}
    content = {"dcvsr": about, "global_step": step, "state_dict": {}, "ema": {"weights": weights, "steps": 5}}
    torch.save(content, last)
    return last


def test_a_shipped_model_is_the_average_in_half_precision_and_says_where_it_is_from(ship, tmp_path, capsys):
    weights = {"a": torch.randn(64, 64), "b": torch.tensor([1.0, 2049.0])}
    path = ship(_run(tmp_path / "run", weights))
    found = open_checkpoint(path, "nano")
    assert (found.stage, found.step) == (2, 5)
    assert all(torch.equal(found.weights[name], weights[name].half().float()) for name in weights)
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        assert file.get_tensor("a").dtype == torch.float16
    assert about["recipe"] == "python -m dcvsr.train +experiment=nano_stage2 seed=3"
    assert len(about["source_sha256"]) == 64
    assert f"{1 / 2049:.2g} of its tensor's largest (b)" in capsys.readouterr().out


def test_a_shipped_model_of_stage_3_keeps_the_sampler_that_it_was_trained_for(ship, tmp_path):
    sampler = {"steps": 2, "sigma_min": 0.1, "sigma_max": 60, "rho": 7, "solver": "heun"}
    path = ship(_run(tmp_path / "run", {"a": torch.ones(2)}, about={"stage": 3, "sampler": sampler}))
    assert open_checkpoint(path, "nano").sampler == Sampler(**sampler)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"a": torch.tensor([1e6])}, "a does not fit into half precision: its largest is 1e+06"),
        ({"a": torch.zeros(14 * 2**20)}, "more than 26214400; ship a smaller model"),
    ],
)
def test_what_cannot_be_shipped_is_refused_in_one_line(ship, tmp_path, weights, said, capsys):
    with pytest.raises(SystemExit) as stop:
        ship(_run(tmp_path / "run", weights))
    told = capsys.readouterr().err
    assert (stop.value.code, told.count("\n")) == (2, 1)
    assert said in told
    assert not (tmp_path / "nano.safetensors").exists()


class Commands:
    """Stands for the commands: notes them, and leaves what they would."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Path]] = []

    def __call__(self, command: str, *arguments: str) -> None:
        keys: dict[str, Any] = dict(argument.split("=", 1) for argument in arguments)
        folder = Path(keys["hydra.run.dir"])
        self.done.append((command, folder))
        if command == "train":
            _run(folder, {}, int(keys["trainer.max_steps"]))
            (folder / "metrics.csv").write_text("step,train/loss\n0,9\n1,\n2,8\n3,5\n4,3\n")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            lpips = 0.5 if folder.name == "bicubic" else 0.4
            means = {"psnr": {"mean": 30.0 - lpips}, "lpips": {"mean": lpips}, "tof": {"mean": None}}
            (folder / "summary.json").write_text(json.dumps({"metrics": means}))


@pytest.fixture
def tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, Path]]]:
    plan = {
        "steps": 7,
        "train": [],
        "evaluate": ["wandb=none"],
        "sets": {"baseline": {}, "low": {"train": ["seed=1"], "model": ["model.x=2"]}},
        "samplers": {"one": ["sampler.steps=1"], "two": ["sampler.steps=2"]},
    }
    OmegaConf.save(plan, tmp_path / "sets.yaml")

    def invoke() -> list[tuple[str, Path]]:
        module, commands = _script("tune"), Commands()
        monkeypatch.setattr(module, "run", commands)
        given = [
            "tune",
            "--sets",
            str(tmp_path / "sets.yaml"),
            "--output",
            str(tmp_path / "out"),
            "data.path=a",
        ]
        monkeypatch.setattr(sys, "argv", given)
        module.main()
        return commands.done

    return invoke


def test_every_set_is_scored_at_every_setting_beside_bicubic(tune, tmp_path):
    assert [command for command, _ in tune()] == ["evaluate", *["train", "evaluate", "evaluate"] * 2]
    lines = (tmp_path / "out" / "tune.md").read_text().splitlines()
    assert lines[0] == "| set | sampler | loss | psnr | lpips | tof |"
    assert lines[2] == "| bicubic |  |  | 29.5000 | 0.5000 |  |"
    assert lines[-1] == "| low | two | 3.0000 | 29.60 (+0.10 dB) | 0.4000 (-20.0%) |  |"
    assert len(lines) == 2 + 1 + 4


def test_what_is_trained_is_not_trained_again_unless_it_was_cut_off(tune, tmp_path):
    tune()
    cut = tmp_path / "out" / "low" / "train" / "checkpoints" / "last.ckpt"
    torch.save({**torch.load(cut, weights_only=True), "global_step": 6}, cut)
    assert [folder.parent.name for command, folder in tune() if command == "train"] == ["low"]


def test_the_sets_that_come_along_are_keys_of_the_commands(tmp_path):
    plan: Any = OmegaConf.to_container(OmegaConf.load(HERE / "tune.yaml"))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        scoring = ["data=published", *plan["evaluate"]]
        for given in plan["sets"].values():
            model = given.get("model", [])
            training = ["+experiment=nano_stage1", *plan["train"], *model, *given.get("train", [])]
            assert compose("train", training).data.name == "published"
            compose("evaluate", [*scoring, *model])
        for sampler in plan["samplers"].values():
            assert "flat_noise" in compose("evaluate", [*scoring, *sampler]).metrics


def _upsampler(folder: Path, *given: str) -> Tensor:
    """Residual that an upsampler adds to bicubic after three training steps."""
    run = ["+experiment=nano_stage1", "data=synthetic", "data.crop=64", "module.compile=false", *given]
    run = [*run, "trainer.max_steps=3", "wandb=none", f"hydra.run.dir={folder}"]
    with pytest.MonkeyPatch.context() as patch, restored():
        patch.setattr(sys, "argv", ["upsampler", *run])
        _script("upsampler").main()
    with safe_open(folder / "upsampler.safetensors", framework="pt") as file:
        assert file.metadata() == {"steps": "3", "seed": "0", "data": "synthetic"}
    lr = torch.linspace(0, 1, 192).view(1, 3, 8, 8)
    return frozen(64, 8, folder / "upsampler.safetensors")(lr) - upsample(lr)


def test_an_upsampler_is_trained_on_the_clips_of_stage_1_and_goes_on_from_what_it_left(tmp_path):
    once = _upsampler(tmp_path / "once")
    twice = _upsampler(tmp_path / "twice", f"+model.upsample.weights={tmp_path}/once/upsampler.safetensors")
    assert 0 < once.abs().max() < 0.1
    assert 0 < (twice - once).abs().max() < 0.1
    assert twice.abs().max() > 1.2 * once.abs().max()
