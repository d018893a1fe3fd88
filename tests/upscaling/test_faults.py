"""Full disks, inputs that vanish, interrupts: one line each, and the same command then finishes."""

import os
from functools import partial
from itertools import count
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.upscaling.job_folder import JobFolder
from dcvsr.video.io import read_video
from tests.data.making import make_video, noise
from tests.models.test_upscaler import LinearDenoiser, make
from tests.upscaling.making import Dying, make_lr
from tests.upscaling.making import run as run_job

FULL = "No space left on device"


def _pngs(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _fill(monkeypatch, owner, name, at, counts=lambda *args: True):
    """Let a function find the disk full at call number ``at`` of those that ``counts`` accepts, from 0 on."""
    function, calls = getattr(owner, name), count()

    def full(*args, **kwargs):
        if counts(*args) and next(calls) == at:
            raise OSError(28, FULL)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, full)


WRITES = {
    "space": (os, "posix_fallocate"),
    "frame": (os, "pwritev"),
    "record or position": (Path, "open"),
    "png": (Image.Image, "save"),
    "result": (os, "replace"),
}
KINDS_AND_MOMENTS = [
    *(("space", at) for at in (0, 2)),
    *(("frame", at) for at in (0, 20, 50)),
    *(("record or position", at) for at in (0, 1, 9)),
    *(("png", at) for at in (0, 5)),
    *(("result", at) for at in (0, 1)),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "hr"
    run_job(make(LinearDenoiser()), make_lr(), output, cuts=(4,))
    return _pngs(output)


@pytest.mark.parametrize(("kind", "at"), KINDS_AND_MOMENTS)
def test_a_disk_that_is_full_at_any_write_loses_nothing(tmp_path, monkeypatch, whole, kind, at):
    again = partial(run_job, make(LinearDenoiser()), make_lr(), tmp_path / "hr", (4,))
    with monkeypatch.context() as patch:
        counts = {
            "result": lambda source, *_: Path(source).name == "hr",
            "record or position": lambda _, mode="r": mode == "wb",
        }
        _fill(patch, *WRITES[kind], at, counts.get(kind, lambda *_: True))
        with pytest.raises(UserError, match=FULL) as caught:
            again()
    assert "\n" not in str(caught.value)
    if (kind, at) != ("record or position", 0):  # the record comes before any work
        assert "nothing is lost, the same command goes on from here" in str(caught.value)
    assert not (tmp_path / "hr").exists()
    again()
    assert _pngs(tmp_path / "hr") == whole
    assert [file.name for file in tmp_path.iterdir()] == ["hr"]


@pytest.fixture
def upscale(run, tmp_path):
    """Upscale six frames of two shots, with audio."""
    make_video(tmp_path / "in.mp4", noise(6, 16, 16), audio="aac")
    (tmp_path / "cuts").write_text("3")

    def invoke(*arguments, output="out.mkv"):
        given = ["upscaler=bicubic", "crf=0", "engine.cuts=cuts", "input=in.mp4", f"output={output}"]
        return run("upscale", *given, *arguments)

    return invoke


def _fails(done, said, code=2):
    *bars, line = done.err.splitlines()
    assert done.code == code
    assert said in line
    assert all(bar.startswith("upscale: ") for bar in bars if bar)


def _audio(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_an_encoder_or_a_report_without_space_loses_nothing(upscale, tmp_path, monkeypatch):
    """Refuse space to FFmpeg by /dev/full, then to the report."""
    with monkeypatch.context() as patch:
        patch.setattr("dcvsr.video.encoder.url", lambda path: "file:/dev/full")
        _fails(upscale(), f"cannot write out.mkv.part/output/out.mkv: {FULL}; nothing is lost")
    with monkeypatch.context() as patch:
        is_report = lambda path, mode="r": mode == "wb" and path.name.startswith("out.mkv.json")  # noqa: E731
        _fill(patch, Path, "open", 0, is_report)
        _fails(upscale(), f"cannot write out.mkv.json: {FULL}; nothing is lost")
    assert not (tmp_path / "out.mkv").exists()
    assert upscale().code == 0
    assert upscale(output="whole.mkv").code == 0
    assert torch.equal(*(read_video(tmp_path / name).frames for name in ("out.mkv", "whole.mkv")))
    assert not list(tmp_path.glob("*.part"))


def test_a_job_survives_ctrl_c_changes_and_the_loss_of_its_input(upscale, tmp_path, monkeypatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    def interrupted_at(write, output):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", Dying(write, interrupt))
            return upscale(output=output)

    nothing_done = interrupted_at(2, "early")
    assert (nothing_done.code, nothing_done.err) == (130, "dcvsr: interrupted\n")
    assert not (tmp_path / "early.part").exists()
    stopped = interrupted_at(11, "out")  # six LR frames, three of the first shot, and the second of the other
    _fails(stopped, "interrupted; what is done is in out.part, and the same command goes on: python -m", 130)
    assert stopped.err.endswith("input=in.mp4 output=out\n")
    part = tmp_path / "out.part"
    _fails(upscale("seed=1", output="out"), f"{part.name} holds an unfinished job with seed=0, now it is 1;")
    _fails(upscale("frames=5", output="out"), "with frames=None, now it is 5; give the former, or delete")
    (tmp_path / "cuts").write_text("2")
    _fails(upscale(output="out"), "with input.cuts=[0, 3], now it is [0, 2];")
    (tmp_path / "cuts").write_text("3")
    (tmp_path / "in.mp4").rename(tmp_path / "kept.mp4")
    _fails(upscale(output="out"), "in.mp4 does not exist; pass a video file or a folder of frames")
    make_video(tmp_path / "in.mp4", noise(6, 16, 16, seed=1))
    _fails(upscale(output="out"), "holds an unfinished job with input.sha256=")
    make_video(tmp_path / "in.mp4", noise(7, 20, 16))
    _fails(upscale(output="out"), "holds an unfinished job with input.frames=6, now it is 7;")
    (tmp_path / "kept.mp4").rename(tmp_path / "in.mp4")
    done = upscale(output="out")
    assert done.code == 0, done.err
    assert "going on with out.part" in done.out
    assert upscale(output="whole").code == 0
    assert _pngs(tmp_path / "out") == _pngs(tmp_path / "whole")


def test_a_kept_folder_spares_the_work_of_another_crf(upscale, tmp_path, monkeypatch):
    assert upscale("engine.keep=true").code == 0
    first, audio = read_video(tmp_path / "out.mkv").frames, _audio(tmp_path / "out.mkv")
    assert audio
    assert (tmp_path / "out.mkv.part" / "hr").is_file()
    monkeypatch.setattr("dcvsr.baselines.interpolation.Upsampling.__call__", None)
    done = upscale("crf=30")
    assert done.code == 0, done.err
    assert not torch.equal(read_video(tmp_path / "out.mkv").frames, first)
    assert _audio(tmp_path / "out.mkv") == audio
    assert not (tmp_path / "out.mkv.part").exists()


def test_audio_is_not_left_out_when_the_input_vanishes_during_the_work(upscale, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", Dying(7, (tmp_path / "in.mp4").unlink))
        _fails(upscale(), "in.mp4 cannot be read as a video (No such file or directory); pass a whole")
    make_video(tmp_path / "in.mp4", noise(6, 16, 16), audio="aac")
    assert upscale().code == 0
    assert _audio(tmp_path / "out.mkv") == _audio(tmp_path / "in.mp4") != []


def test_a_process_that_is_killed_when_all_is_done_has_done_all(upscale, tmp_path, monkeypatch):
    """The folder of PNGs is in its place, and the job folder is not deleted yet."""

    def kill(self) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "remove", kill)
        assert upscale(output="out").code == 130
    assert (tmp_path / "out.part").exists()
    result = _pngs(tmp_path / "out")
    _fails(upscale("seed=1", output="out"), "out.part holds an unfinished job with seed=0, now it is 1")
    done = upscale(output="out")
    assert (done.code, done.err) == (0, "")
    assert "out was finished before" in done.out
    assert _pngs(tmp_path / "out") == result
    assert not (tmp_path / "out.part").exists()
    _fails(upscale(output="out"), "out exists and is not an empty folder")


@pytest.mark.parametrize("content", [None, "{"])
def test_a_state_without_its_record_is_refused(tmp_path, monkeypatch, content):
    again = partial(run_job, make(LinearDenoiser()), make_lr(), tmp_path / "hr")
    with monkeypatch.context() as patch:
        _fill(patch, os, "pwritev", 50)
        with pytest.raises(UserError, match=FULL):
            again()
    record = tmp_path / "hr.part" / "job.json"
    record.unlink() if content is None else record.write_text(content)
    with pytest.raises(UserError, match=r"job\.json.*; delete the folder .*hr\.part to start anew"):
        again()


@pytest.mark.parametrize("file", ["hr.part", "hr.part/output"])
def test_a_job_folder_that_cannot_be_written_is_refused(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    if (tmp_path / "hr.part").is_dir():
        (tmp_path / "hr.part/lock").touch()
    with pytest.raises(UserError, match=r"cannot write .*hr\.part"), JobFolder(tmp_path / "hr").locked():
        pass


def test_the_job_folder_of_a_symbolic_link_is_on_the_disk_of_its_file(tmp_path):
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / "hr.mkv", tmp_path / "disk" / "kept.mkv"
    link.symlink_to(file)
    folder = JobFolder(link)
    assert folder.path == tmp_path / "disk" / "hr.mkv.part"
    with folder.locked():
        (folder.unfinished / "hr.mkv").write_text("done")
        folder.deliver(keep=False)
    assert (link.is_symlink(), file.read_text(), folder.path.exists()) == (True, "done", False)
