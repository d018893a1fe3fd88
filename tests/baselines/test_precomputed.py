"""Results of other programs: found by clip name, and rejected if they do not match the clip."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcvsr.baselines.precomputed import Precomputed
from dcvsr.data.folders import folder_of_clips
from dcvsr.imaging import to_bytes, upsample
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import write_clip
from tests.baselines.making import noise

LR = noise(3, 3, 6, 8)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Folder of results: ``frames`` as PNGs and ``video`` as a file, each frame of one gray level."""
    folder = tmp_path / "results"
    folder.mkdir()
    write_frames(folder / "frames", expected().mul(255).byte().permute(0, 2, 3, 1).numpy(), [])
    write_clip(folder / "video.mp4", expected(), Fraction(25), crf=0)
    return folder


def expected() -> Tensor:
    return torch.tensor([51, 102, 204]).view(3, 1, 1, 1).expand(3, 3, 24, 32) / 255


def precomputed(results: Path, clip: str | None) -> Precomputed:
    read = partial(folder_of_clips, cache=results.parent / "cache")
    return Precomputed(str(results), read, factor=4, clip=clip)


@pytest.mark.parametrize("clip", ["frames", "video"])
def test_the_result_of_the_named_clip_is_returned(results: Path, clip: str) -> None:
    done: list[float] = []
    found = precomputed(results, clip)
    found.to(torch.device("cpu"))
    torch.testing.assert_close(found(LR, done.append), expected(), rtol=0, atol=1.01 / 255)
    assert sum(done) == found.work(3, 6, 8)
    assert found.origin is None
    assert 0 < found.memory(3, 6, 8) < found.memory(4, 6, 8)


def test_results_as_frames_are_read_exactly(results: Path) -> None:
    assert torch.equal(precomputed(results, "frames")(LR), expected())


def test_a_clip_without_a_result_is_rejected_listing_the_others(results: Path) -> None:
    with pytest.raises(UserError, match="holds no clip other; it has frames, video"):
        precomputed(results, "other")(LR)


def test_another_frame_rate_is_rejected(results: Path) -> None:
    found = precomputed(results, None)
    found.for_clip("video", 3, 6, 8, Fraction(25))
    found.for_clip("frames", 3, 6, 8, Fraction(30))
    with pytest.raises(UserError, match="video has 25 frames per second, its LR 30"):
        found.for_clip("video", 3, 6, 8, Fraction(30))


def test_a_call_without_a_clip_name_is_rejected(results: Path) -> None:
    with pytest.raises(UserError, match=r"are found by clip name; run python -m dcvsr.evaluate"):
        precomputed(results, None)(LR)


@pytest.mark.parametrize(
    ("lr", "needed"),
    [(LR[:2], "2 frames of 32x24"), (LR[..., :7], "3 frames of 28x24"), (LR[:, :, :5], "3 frames of 32x20")],
)
def test_a_result_of_another_length_or_size_is_rejected_with_both_sizes(
    results: Path, lr: Tensor, needed: str
) -> None:
    with pytest.raises(UserError, match=f"frames has 3 frames of 32x24, but its LR needs {needed};"):
        precomputed(results, "frames")(lr)


def _third(frames: Tensor, part: Tensor) -> Tensor:
    """Replace the middle third of the columns."""
    width = frames.shape[-1] // 3
    return torch.cat([frames[..., :width], part[..., :width], frames[..., 2 * width :]], dim=-1)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda frames: frames, None),
        (lambda frames: frames + 20 / 255, None),  # colours that drifted everywhere
        (lambda frames: (frames + 0.1 * noise(*frames.shape)).clamp(0, 1), None),
        (lambda frames: frames.flip(0), "over more than 5% of 2 of 3 frames, first frame 0"),
        (lambda frames: _third(frames, frames), "3 of 3 frames, first frame 0"),
        (lambda frames: frames.flip(1), "3 of 3 frames, first frame 0"),
    ],
    ids=["same", "colour", "noise", "order", "tile", "channels"],
)
def test_frames_that_do_not_show_their_lr_frame_get_a_warning(
    change: Callable[[Tensor], Tensor],
    warning: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scenes = torch.nn.functional.interpolate(noise(3, 3, 4, 6), (64, 96), mode="bicubic").clamp(0, 0.9)
    frames = to_bytes(change(upsample(scenes))).permute(0, 2, 3, 1).numpy()
    (tmp_path / "results").mkdir()
    write_frames(tmp_path / "results/clip", frames, [])
    precomputed(tmp_path / "results", "clip")(scenes)
    assert [warning is not None and warning in text for text in caplog.messages] == [True] * bool(warning)


@pytest.mark.parametrize(("clip", "warned"), [("video", True), ("frames", False)])
def test_results_in_a_video_file_get_a_warning(
    results: Path, clip: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    precomputed(results, clip)(expected()[..., ::4, ::4])
    assert [f"{clip} is a video" in text for text in caplog.messages] == [True] * warned
