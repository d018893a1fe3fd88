"""Results of other programs: found by clip name, and rejected if they do not match the clip."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcvsr.baselines.precomputed import Precomputed
from dcvsr.data.folders import folder_of_clips
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
    done: list[None] = []
    found = precomputed(results, clip)
    found.to(torch.device("cpu"))
    torch.testing.assert_close(found(LR, lambda: done.append(None)), expected(), rtol=0, atol=1.01 / 255)
    assert len(done) == found.work(3, 6, 8)
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
