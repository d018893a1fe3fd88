"""Which clips are shown, and whose videos."""

import logging
from pathlib import Path

import pytest

from dcvsr.report.runs import Run
from dcvsr.report.scenes import scenes
from dcvsr.runtime.errors import UserError


def make(folder: Path, upscaler: str, psnr: dict[str, float | None], seed: int = 0) -> Run:
    """A run with a file for each clip's video."""
    run = folder / f"{upscaler}{seed}"
    (run / "videos").mkdir(parents=True)
    for clip in psnr:
        (run / "videos" / f"{clip}.mp4").touch()
    scores = {clip: {"psnr": value} for clip, value in psnr.items()}
    return Run(upscaler, seed, "X", scores, {"psnr": True}, (), 8, 1.5, run)


def test_every_row_gives_the_video_of_its_first_seed(tmp_path: Path) -> None:
    runs = [make(tmp_path, *run) for run in (("dcvsr", {"a": 30}, 0), ("dcvsr", {"a": 31}, 1))]
    runs.append(make(tmp_path, "bicubic", {"a": 29}))
    [scene] = scenes(runs, "dcvsr", None, 6)
    assert scene.videos == {
        "dcvsr": tmp_path / "dcvsr0/videos/a.mp4",
        "bicubic": tmp_path / "bicubic0/videos/a.mp4",
    }
    assert (scene.clip, scene.reference, scene.truth) == ("a", "dcvsr", None)


def test_the_clips_on_which_rows_differ_most_are_shown_in_their_order(tmp_path: Path) -> None:
    first: dict[str, float | None] = {"a": 30, "b": 30, "c": 30, "d": None}
    second: dict[str, float | None] = {"a": 33, "b": 31, "c": 25, "d": 90}
    runs = [make(tmp_path, "dcvsr", first), make(tmp_path, "bicubic", second)]
    assert [scene.clip for scene in scenes(runs, "dcvsr", None, 2)] == ["a", "c"]
    assert [scene.clip for scene in scenes(runs, "dcvsr", None, 9)] == ["a", "b", "c", "d"]


def test_a_missing_video_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = [make(tmp_path, name, {"a": 30}) for name in ("dcvsr", "bicubic")]
    (tmp_path / "dcvsr0/videos/a.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        [scene] = scenes(runs, "dcvsr", None, 6)
    assert list(scene.videos) == ["bicubic"]
    assert scene.reference == "bicubic"
    assert str(tmp_path / "dcvsr0/videos/a") in caplog.text
    (tmp_path / "bicubic0/videos/a.mp4").unlink()
    assert scenes(runs, "dcvsr", None, 6) == []


@pytest.mark.parametrize("name", ["a", "a.mkv", "a.mp4"])
def test_the_truth_of_a_clip_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    runs = [make(tmp_path, "dcvsr", {"a": 30})]
    (tmp_path / "truth" / name).mkdir(parents=True)
    [scene] = scenes(runs, "dcvsr", tmp_path / "truth", 6)
    assert scene.truth == tmp_path / "truth" / name


def test_a_truth_that_is_not_there_is_named(tmp_path: Path) -> None:
    runs = [make(tmp_path, "dcvsr", {"a": 30})]
    with pytest.raises(UserError, match=r"truth=.*gone is not a folder"):
        scenes(runs, "dcvsr", tmp_path / "gone", 6)
    with pytest.raises(UserError, match="holds no clip a;"):
        scenes(runs, "dcvsr", tmp_path, 6)
