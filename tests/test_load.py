"""The Python interface: `dcvsr.load` gives what the command writes."""

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import dcvsr
from dcvsr.models.checkpoint import SHIPPED
from dcvsr.models.loaded import LoadedUpscaler
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import to_bytes, to_unit
from tests.conftest import TINY_MODEL, Run

MANY_TILES = [*TINY_MODEL, "ckpt=null", "tile.frames=2"]
"""A network with initial weights, which splits the clip into two windows of four tiles."""


@pytest.fixture(scope="module")
def lr(clip: Path) -> torch.Tensor:
    return dcvsr.read_video(clip).frames


@pytest.fixture(scope="module")
def many_tiles() -> LoadedUpscaler:
    torch.manual_seed(0)
    return dcvsr.load("nano", overrides=MANY_TILES)


@pytest.fixture(scope="module")
def hr(many_tiles: LoadedUpscaler, lr: torch.Tensor) -> torch.Tensor:
    return many_tiles(lr)


def written(run: Run, folder: Path, clip: Path, *overrides: str) -> torch.Tensor:
    """Return the frames that the command writes as PNG, uint8 ``f c h w``."""
    torch.manual_seed(0)
    done = run("upscale", f"input={clip}", "output=big", *overrides)
    assert done.code == 0, done.err
    return dcvsr.read_video(folder / "big").frames


@pytest.mark.parametrize(
    ("seed", "overrides"),
    [
        (None, [*TINY_MODEL, "ckpt=null", "seed=3", "guidance=dssag", "propagation=sap"]),
        (None, ["upscaler=bicubic"]),
        (1, ["sampler.steps=1"]),  # the model that comes with the package
    ],
)
def test_a_call_gives_the_frames_that_the_command_writes(
    run: Run, clip: Path, lr: torch.Tensor, tmp_path: Path, seed: int | None, overrides: list[str]
) -> None:
    torch.manual_seed(0)
    hr = dcvsr.load("nano", overrides=overrides)(lr, seed=seed)
    frames, _, height, width = lr.shape
    assert (hr.shape, hr.dtype) == ((frames, 3, 4 * height, 4 * width), torch.float32)
    given = [] if seed is None else [f"seed={seed}"]
    assert torch.equal(to_bytes(hr), written(run, tmp_path, clip, *overrides, *given))
    hr.mul_(255)  # an ordinary tensor


def test_dtype_is_the_precision_of_the_command(run: Run, tmp_path: Path) -> None:
    """On the smallest clip: CPUs without bfloat16 take 40 times as long."""
    overrides = [*TINY_MODEL, "ckpt=null", "sampler.steps=1", "tile.size=8", "tile.frames=1"]
    dcvsr.write_video(
        tmp_path / "lr", torch.rand(1, 3, 8, 8), dcvsr.Video(torch.empty(0), Fraction(25)), crf=0
    )
    lr = dcvsr.read_video(tmp_path / "lr").frames
    results = []
    for dtype in ("float32", "bfloat16"):
        torch.manual_seed(0)
        results.append(dcvsr.load(dtype=dtype, overrides=overrides)(lr))
    assert torch.equal(
        to_bytes(results[1]), written(run, tmp_path, tmp_path / "lr", *overrides, "precision=bfloat16")
    )
    assert 0 < (results[0] - results[1]).abs().max() < 0.1


def test_bytes_are_upscaled_as_floats_in_0_to_1(
    many_tiles: LoadedUpscaler, lr: torch.Tensor, hr: torch.Tensor
) -> None:
    assert torch.equal(many_tiles(to_unit(lr)), hr)


def test_a_seed_is_of_its_call_alone(many_tiles: LoadedUpscaler, lr: torch.Tensor, hr: torch.Tensor) -> None:
    assert not torch.equal(many_tiles(lr, seed=1), hr)
    assert torch.equal(many_tiles(lr), hr)


@pytest.mark.parametrize("override", ["sampler.steps=3", "propagation.tap.seed=7"])
def test_a_seed_reaches_tap_unless_tap_has_its_own(override: str) -> None:
    overrides = [*MANY_TILES, "propagation.tap.selection=random", override]
    up, configured = (dcvsr.load(overrides=[*overrides, f"seed={seed}"]) for seed in (0, 2))
    assert up._seeded(2).propagation == configured.upscaler.propagation


def test_progress_counts_every_evaluation_and_grows_within_each(
    many_tiles: LoadedUpscaler, lr: torch.Tensor
) -> None:
    seen: list[tuple[float, int]] = []
    many_tiles(lr, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 16)  # two windows of four tiles in two steps
    assert seen[-1] == (16, 16)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert max(after - before for (before, _), (after, _) in pairwise(seen)) < 0.5


class Cancelled(Exception):
    """The exception of the test below."""


@pytest.mark.parametrize("when", [0, 2, 9])
def test_an_exception_in_progress_cancels_and_the_upscaler_works_again(
    many_tiles: LoadedUpscaler, lr: torch.Tensor, hr: torch.Tensor, when: int
) -> None:
    calls = []

    def cancel(done: float, total: int) -> None:
        calls.append(done)
        if done >= when:
            raise Cancelled

    with pytest.raises(Cancelled):
        many_tiles(lr, progress=cancel)
    assert [done for done in calls if done >= when] == calls[-1:]
    assert torch.equal(many_tiles(lr), hr)


def test_a_checkpoint_is_loaded_at_its_own_scale(tmp_path: Path) -> None:
    copy = tmp_path / "a (1).safetensors"
    copy.write_bytes((SHIPPED / "nano.safetensors").read_bytes())
    shipped = dcvsr.load()
    for loaded in (dcvsr.load(copy), dcvsr.load("nano", ckpt=copy)):
        assert loaded.upscaler.origin.path == copy
        for one, other in zip(
            loaded.upscaler.denoiser.parameters(), shipped.upscaler.denoiser.parameters(), strict=True
        ):
            assert torch.equal(one, other)


def test_frames_are_written_as_the_command_writes_them(run: Run, clip: Path, tmp_path: Path) -> None:
    """The same file: times and audio too; frames may come in chunks.

    By ProRes: x264 gives another file at times, from the same frames and one thread, on CPUs with AVX-512.
    """
    assert run("upscale", f"input={clip}", "output=command.mov", "codec=prores", "upscaler=bicubic").code == 0
    video = dcvsr.read_video(clip)
    hr = dcvsr.load(overrides=["upscaler=bicubic"])(video.frames)
    dcvsr.write_video(tmp_path / "whole.mov", hr, video, codec="prores")
    dcvsr.write_video(tmp_path / "chunks.mov", iter(hr.split(1)), video, codec="prores")
    expected = (tmp_path / "command.mov").read_bytes()
    assert (tmp_path / "whole.mov").read_bytes() == expected
    assert (tmp_path / "chunks.mov").read_bytes() == expected


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
        (
            {"weights": "nan"},
            "nan is not a model: choose nano or svd, or name a checkpoint, such as",
        ),
        ({"weights": __file__}, "dcvsr checkpoint"),
        ({"weights": __file__, "ckpt": "a.ckpt"}, "are two checkpoints; pass nano or svd with ckpt="),
        ({"ckpt": "none.ckpt"}, "none.ckpt"),
        ({"weights": "svd", "overrides": ["model.weights=nowhere"]}, "nowhere"),
        ({"device": "tpu"}, "device=tpu is not one of auto, cpu, cuda"),
        ({"dtype": "half"}, "dtype must be auto, float32, bfloat16 or float16, got half"),
        ({"dtype": torch.float16}, "got torch.float16"),
        ({"overrides": "seed=1"}, "overrides must be a list, got 'seed=1'; pass overrides=['seed=1']"),
        ({"overrides": ["samplr.steps=3"]}, "unknown key 'samplr.steps': did you mean 'sampler.steps'?"),
        ({"overrides": ["+speed=3"]}, "unknown key 'speed'"),
        ({"overrides": ["guidance=magic"]}, "magic"),
        ({"overrides": ["sampler.steps=0"]}, "0"),
        ({"overrides": ["seed=1,2"]}, "1,2"),
        ({"overrides": ["seed=-1"]}, "seed=-1 is not a whole number from 0 to 18446744073709551615"),
        ({"overrides": ["output=big.mp4"]}, "load takes no output=big.mp4: it reads and writes no file"),
        ({"overrides": ["debug.attention=true"]}, "load takes no debug.attention=true"),
    ],
)
def test_a_mistake_is_a_user_error(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(dcvsr.UserError) as refused:
        dcvsr.load(**arguments)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("lr", "line"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.int32), "int32 (1, 3, 8, 8)"),
        (torch.zeros(3, 8, 8), "float32 (3, 8, 8)"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "uint8 (1, 1, 8, 8)"),
        (torch.zeros(0, 3, 8, 8), "float32 (0, 3, 8, 8)"),
        (torch.full((1, 3, 8, 8), 255.0), "got 255 to 255; divide by 255"),
        (torch.full((1, 3, 8, 8), torch.nan), "got nan to nan"),
        (torch.zeros(1, 3, 8, 8).numpy(), "got ndarray"),
        (dcvsr.Video(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 25), "got Video"),
    ],
)
def test_what_is_not_a_video_is_refused(lr: Any, line: str) -> None:
    up = dcvsr.load(overrides=["upscaler=bicubic"])
    with pytest.raises(UserError, match="pass frames") as refused:
        up(lr)
    assert line in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"seed": 1.5}, "seed must be an integer in [0, 2^64), got 1.5"),
        ({"seed": "1"}, "seed must be an integer"),
        ({"seed": 2**64}, "seed must be an integer"),
        ({"progress": "bar"}, "progress must be a function of (done, total), got 'bar'"),
    ],
)
@pytest.mark.parametrize("upscaler", ["bicubic", "dcvsr"])
def test_a_wrong_seed_or_progress_is_refused(upscaler: str, arguments: dict[str, Any], line: str) -> None:
    up = dcvsr.load(overrides=[f"upscaler={upscaler}", *TINY_MODEL[:3], "ckpt=null"])
    with pytest.raises(UserError) as refused:
        up(torch.zeros(1, 3, 8, 8), **arguments)
    assert line in str(refused.value)


def test_importing_the_package_imports_neither_torch_nor_hydra() -> None:
    code = (
        "import dcvsr, sys; print(sorted({'torch', 'hydra'} & set(sys.modules)), dir(dcvsr)); "
        "print(dcvsr.load.__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] [")
    assert all(f"'{name}'" in done.stdout for name in dcvsr.__all__)
    assert done.stdout.endswith("\nload False\n")


@pytest.mark.parametrize("name", dcvsr.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    public: str | Callable[..., Any] = getattr(dcvsr, name)
    assert isinstance(public, str) or public.__doc__
