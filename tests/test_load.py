"""The Python interface: `dcvsr.load` gives what the command writes."""

import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import dcvsr
from dcvsr.models.checkpoint import SHIPPED
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_bytes, to_unit
from tests.conftest import TINY_MODEL, Run


def lr_of(clip: Path) -> torch.Tensor:
    return to_unit(read_video(clip).frames)


def written(run: Run, folder: Path, clip: Path, *overrides: str) -> torch.Tensor:
    """Return the frames that the command writes as PNG, uint8 ``f c h w``."""
    torch.manual_seed(0)
    done = run("upscale", f"input={clip}", "output=big", *overrides)
    assert done.code == 0, done.err
    return read_video(folder / "big").frames


@pytest.mark.parametrize(
    "overrides",
    [
        [*TINY_MODEL, "ckpt=null", "seed=3", "guidance=dssag", "propagation=sap"],
        ["upscaler=bicubic"],
        ["sampler.steps=2", "seed=1"],  # the model that comes with the package
    ],
)
def test_a_call_gives_the_frames_that_the_command_writes(
    run: Run, clip: Path, tmp_path: Path, overrides: list[str]
) -> None:
    torch.manual_seed(0)
    upscaler = dcvsr.load("nano", overrides=overrides)
    lr = lr_of(clip)
    hr = upscaler(lr)
    frames, _, height, width = lr.shape
    assert (hr.shape, hr.dtype) == ((frames, 3, 4 * height, 4 * width), torch.float32)
    assert torch.equal(to_bytes(hr), written(run, tmp_path, clip, *overrides))
    assert torch.equal(upscaler(lr), hr)


def test_a_checkpoint_is_loaded_at_its_own_scale(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a (1).safetensors"
    copy.write_bytes((SHIPPED / "nano.safetensors").read_bytes())
    loaded, shipped = dcvsr.load(copy), dcvsr.load()
    assert loaded.upscaler.origin.path == copy
    for one, other in zip(
        loaded.upscaler.denoiser.parameters(), shipped.upscaler.denoiser.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_another_hydra_application_keeps_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("a: 1")
    with initialize_config_dir(str(tmp_path), version_base="1.2", job_name="theirs"):
        for _ in range(2):
            assert dcvsr.load(overrides=["upscaler=bicubic"]).upscaler.factor == 4
            assert hydra.version.VersionBase.instance().getbase() == hydra.version.Version("1.2")
        with pytest.raises(UserError):
            dcvsr.load(overrides=["samplr.steps=3"])
        assert compose("theirs").a == 1
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"weights": "nan"}, "nan is not a model: choose nano, or name a checkpoint, such as outputs/"),
        ({"weights": "svd"}, "svd is not a model: choose nano"),
        ({"weights": __file__}, "dcvsr checkpoint"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda, got tpu"),
        ({"overrides": ["samplr.steps=3"]}, "unknown key 'samplr.steps': did you mean 'sampler.steps'?"),
        ({"overrides": ["+speed=3"]}, "unknown key 'speed'"),
        ({"overrides": ["guidance=magic"]}, "magic"),
        ({"overrides": ["sampler.steps=0"]}, "0"),
        ({"overrides": ["seed=1,2"]}, "1,2"),
        ({"overrides": ["output=big.mp4"]}, "load takes no output=big.mp4: it reads and writes no file"),
        ({"overrides": ["debug.attention=true"]}, "load takes no debug.attention=true"),
    ],
)
def test_a_mistake_is_a_user_error(arguments: dict[str, str], line: str) -> None:
    with pytest.raises(UserError) as refused:
        dcvsr.load(**arguments)  # type: ignore[arg-type]
    assert line in str(refused.value)


@pytest.mark.parametrize(
    "lr",
    [
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.full((1, 3, 8, 8), 255.0),
        torch.full((1, 3, 8, 8), torch.nan),
    ],
)
def test_what_is_not_a_video_in_0_to_1_is_refused(lr: torch.Tensor) -> None:
    upscaler = dcvsr.load(overrides=["upscaler=bicubic"])
    with pytest.raises(UserError, match="pass LR"):
        upscaler(lr)


def test_importing_the_package_imports_neither_torch_nor_hydra() -> None:
    code = "import dcvsr, sys; print(sorted({'torch', 'hydra'} & set(sys.modules)), dcvsr.load.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] load\n"
