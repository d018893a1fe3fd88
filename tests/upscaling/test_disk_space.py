"""Free disk space is checked before a job; the file system is faked."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from dcvsr.baselines.interpolation import Upsampling
from dcvsr.runtime.errors import UserError
from dcvsr.upscaling.disk_space import require_disk, result_size, stored
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.video.coding import Coding
from dcvsr.video.memory import Metadata

STORES = 3 * (3 * 20 * 24) * 17
"""Bytes of the fixture ``clip`` and of its result, four times as high and wide."""


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    """Let disks have so many bytes free."""

    def set_free(size: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size))

    return set_free


def test_a_job_whose_frames_do_not_fit_is_refused_and_leaves_nothing(run, clip, free, tmp_path):
    free(50_000)
    done = run("upscale", "upscaler=bicubic", f"input={clip}", "output=big.mp4")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith("dcvsr: . has 50.0 kB free, and the job of big.mp4 takes ")
    assert done.err.endswith("kB: free disk space, or name an output= on another disk\n")
    assert f"clip.mp4 takes {STORES / 1e3:.1f} kB, by its header" in done.out
    assert not list(tmp_path.glob("big*"))


def test_a_result_that_may_not_fit_is_warned_of(run, clip, free, tmp_path):
    free(STORES)
    done = run("upscale", "upscaler=bicubic", f"input={clip}", "output=big.mkv", "codec=ffv1")
    assert done.code == 0, done.err
    [warning] = json.loads((tmp_path / "big.mkv.json").read_text())["warnings"]
    assert "the result may not fit: about 34.6 kB" in warning


def test_stores_that_are_there_take_no_more_space(free, tmp_path):
    metadata, target = Metadata(Fraction(25)), TargetSize.fourfold(20, 24)
    video, coding = (
        ReadVideo(None, (3, 20, 24), "", [range(3)], metadata, target),
        Coding("x264", 51, "yuv420p", {}),
    )
    job = Upsampling(), video, coding, tmp_path / "big.part", tmp_path / "big.mp4"
    assert stored(Upsampling(), video) == STORES
    free(STORES // 2)
    with pytest.raises(UserError, match=r"has 36\.7 kB free, and the job of"):
        require_disk(*job)
    (tmp_path / "big.part").mkdir()
    (tmp_path / "big.part/hr").write_bytes(bytes(STORES // 2 + 1))
    require_disk(*job)


@pytest.mark.parametrize(
    ("codec", "name", "bits"),
    [("x264", "a.mp4", 0.6), ("ffv1", "a.mkv", 12), ("prores", "a.mov", 4), ("x264", "a", 12)],
)
def test_results_are_guessed_by_codec(codec, name, bits):
    coding = Coding(codec, 12, "yuv420p", {})
    assert result_size(10, (8, 10), coding, Path(name)) == 10 * 8 * 10 * bits / 8
