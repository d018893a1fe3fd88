"""A job that is ended at any moment goes on and gives what one that ran through gives."""

import json
import os
import random
import signal
from functools import partial

import pytest
import torch

from dcvsr.attention.observer import NOBODY, Observer
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.models.upscaling_helper import help_with_clips
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.ranks import joined
from dcvsr.tiling.grid import TileGrid
from dcvsr.video.io import read_video
from tests.conftest import under_stress
from tests.training.forked import run_ranks
from tests.upscaling.making import Counting, Dying, make_lr, make_upscaler, run, run_killed


class Killed(BaseException):
    """Stands for the end of the process."""


def _raise() -> None:
    raise Killed


def _pngs(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """PNGs of a job that ran through, of two shots, and the number of its writes."""
    output = tmp_path_factory.mktemp("whole") / "hr"
    with pytest.MonkeyPatch.context() as patch:
        counting = Counting()
        patch.setattr(os, "pwritev", counting)
        folder = run(make_upscaler(), make_lr(), output, cuts=(4,))
    assert not folder.path.exists()
    return _pngs(output), -counting.left


def test_a_job_on_disk_is_the_upscaling_of_its_shots_in_memory(whole, tmp_path):
    lr, upscaler = to_unit(make_lr()), make_upscaler()
    run(upscaler, make_lr(), tmp_path / "one")
    assert torch.equal(read_video(tmp_path / "one").frames, to_bytes(upscaler(lr)))
    assert _pngs(tmp_path / "one") != whole[0]


def _run_and_kill(output, stage, at):
    assert run_killed(output, stage, at) == -signal.SIGKILL
    assert not output.exists()


KILLS = 20 if under_stress() else 3


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_process_loses_nothing(whole, tmp_path, seed):
    """SIGKILL in the middle of a write, in each of equal parts of the job."""
    pngs, writes = whole
    at = random.Random(seed).randrange(writes * seed // KILLS, writes * (seed + 1) // KILLS) + 1
    _run_and_kill(tmp_path / "hr", "store", at)
    run(make_upscaler(), make_lr(), tmp_path / "hr", cuts=(4,))
    assert _pngs(tmp_path / "hr") == pngs
    assert [file.name for file in tmp_path.iterdir()] == ["hr"]


@pytest.mark.parametrize("part", range(3))
def test_a_killed_leader_of_ranks_loses_nothing_and_other_numbers_of_ranks_go_on(whole, tmp_path, part):
    pngs, writes = whole
    at = writes * (2 * part + 1) // 6

    def lead_or_help(at):
        with joined("cpu") as ranks:
            if ranks.number:
                help_with_clips(make_upscaler(), torch.device("cpu"), ranks, NOBODY)
                return
            if at:
                os.pwritev = Dying(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            run(make_upscaler(), make_lr(), tmp_path / "hr", cuts=(4,), ranks=ranks)

    run_ranks(partial(lead_or_help, at), codes=(-signal.SIGKILL, 1, 1))
    assert not (tmp_path / "hr").exists()
    if part:
        run_ranks(partial(lead_or_help, 0))
    else:
        run(make_upscaler(), make_lr(), tmp_path / "hr", cuts=(4,))
    assert _pngs(tmp_path / "hr") == pngs


@pytest.mark.parametrize("name", ["hr", "hr.mp4", "hr.mkv"] if under_stress() else ["hr.mp4"])
@pytest.mark.parametrize("frame", range(1, 8) if under_stress() else [5])
def test_a_process_that_is_killed_while_it_writes_the_video_loses_nothing(whole, tmp_path, name, frame):
    _run_and_kill(tmp_path / name, "video", frame)
    run(make_upscaler(), make_lr(), tmp_path / name, cuts=(4,))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    if name == "hr":
        assert _pngs(tmp_path / name) == whole[0]
    else:
        assert read_video(tmp_path / name).frames.shape == (7, 3, 32, 44)


SETTINGS = {
    "paper": {},
    "heun": {"sampler": Sampler(2, 0.1, 10, 7, "heun")},
    "shifted": {"grid": TileGrid(8, 3, 0.0, "shifted")},
    "each frame's picture": {"image_frames": "each"},
    "noise on pixels": {"noise_augmentation": 0.1, "colour": "wavelet"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("save_every", [1, 3])
def test_wherever_a_job_ends_it_goes_on_from_there(tmp_path, monkeypatch, name, save_every):
    """It ends again and again, after a few more writes each time, until it is done."""
    upscaler, lr = make_upscaler(**SETTINGS[name]), make_lr(5)
    run(upscaler, lr, tmp_path / "whole")
    ends = 0
    while not (tmp_path / "hr").exists():
        monkeypatch.setattr(os, "pwritev", Dying(17 + 3 * ends, _raise))
        try:
            run(upscaler, lr, tmp_path / "hr", save_every=save_every)
        except Killed:
            ends += 1
    monkeypatch.undo()
    assert ends > 2
    assert _pngs(tmp_path / "hr") == _pngs(tmp_path / "whole")


class Resumed(Observer):
    """Counts evaluations of tiles, and those that are told to be done."""

    def __init__(self) -> None:
        self.evaluations, self.before = 0, 0.0

    def evaluated(self, place, x) -> None:
        self.evaluations += len(x)

    def resumed(self, done) -> None:
        self.before += done


def test_at_most_the_windows_since_the_last_save_are_evaluated_again(tmp_path, monkeypatch):
    upscaler, lr = make_upscaler(), make_lr()
    work = upscaler.work(7, 8, 11)
    first, then = Resumed(), Resumed()
    monkeypatch.setattr(os, "pwritev", Dying(60, _raise))
    with pytest.raises(Killed):
        run(upscaler, lr, tmp_path / "hr", observer=first, save_every=2)
    monkeypatch.undo()
    run(upscaler, lr, tmp_path / "hr", observer=then, save_every=2)
    assert 0 < then.before < first.evaluations
    assert then.before + then.evaluations == work
    window = max(len(tiles) for tiles in upscaler.windows(7, 8, 11)) * 2  # two branches
    assert first.evaluations + then.evaluations <= work + 2 * window


def _unfinished(tmp_path, monkeypatch, writes=60):
    monkeypatch.setattr(os, "pwritev", Dying(writes, _raise))
    with pytest.raises(Killed):
        run(make_upscaler(), make_lr(), tmp_path / "hr")
    monkeypatch.undo()
    return tmp_path / "hr.part"


def test_another_job_for_the_same_output_is_refused_with_the_difference(tmp_path, monkeypatch):
    _unfinished(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"hr\.part holds an unfinished job with seed=0, now it is 5; give"):
        run(make_upscaler(seed=5), make_lr(), tmp_path / "hr")
    run(make_upscaler(), make_lr(), tmp_path / "hr")  # nothing was lost


def test_a_second_process_on_one_job_is_refused(tmp_path):
    from dcvsr.upscaling.job_folder import JobFolder

    refused = pytest.raises(UserError, match=r"another process works in .*hr\.part; wait for it")
    with JobFolder(tmp_path / "hr").locked(), refused, JobFolder(tmp_path / "hr").locked():
        pass


@pytest.mark.parametrize("name", ["l", "x1", "sums"])
def test_a_flipped_bit_is_found(tmp_path, monkeypatch, name):
    """In the step that was being taken: every frame of it is read again."""
    file = _unfinished(tmp_path, monkeypatch) / name
    content = bytearray(file.read_bytes())
    size = len(content) // (7 if name != "sums" else 1)
    content[min(size, 3000) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is damaged at frame 0; delete the folder .*hr\.part"):
        run(make_upscaler(), make_lr(), tmp_path / "hr")


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_truncated_position_is_refused(tmp_path, monkeypatch, cut):
    file = _unfinished(tmp_path, monkeypatch) / "position.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"position\.safetensors is damaged; delete the folder"):
        run(make_upscaler(), make_lr(), tmp_path / "hr")


def test_a_full_disk_ends_the_job_in_one_line_and_loses_nothing(tmp_path, monkeypatch, whole):
    full = OSError(28, "No space left on device")

    def refuse() -> None:
        raise full

    monkeypatch.setattr(os, "pwritev", Dying(50, refuse))
    with pytest.raises(
        UserError, match=r"cannot keep frames in .*: No space left on device; nothing is lost"
    ):
        run(make_upscaler(), make_lr(), tmp_path / "hr", cuts=(4,))
    monkeypatch.undo()
    run(make_upscaler(), make_lr(), tmp_path / "hr", cuts=(4,))
    assert _pngs(tmp_path / "hr") == whole[0]


def test_disk_space_is_taken_before_the_work(tmp_path, monkeypatch):
    """HR, then l, two states and the sums: for the longest shot, and again for the shot itself."""
    taken, frame = [], 48 * 8 * 11 * 4 + 16
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: taken.append(size))
    run(make_upscaler(), make_lr(), tmp_path / "hr")
    assert taken == [7 * (3 * 32 * 44 + 16), *2 * [7 * frame, 7 * frame, 7 * frame, 2 * 9 * frame]]


class AtFirst(Observer):
    """Notes what was taken when the first tile is evaluated."""

    def __init__(self, taken) -> None:
        self.taken, self.then = taken, None

    def evaluated(self, place, x) -> None:
        self.then = self.then or max(self.taken)


def test_disk_space_of_the_longest_shot_is_taken_before_the_first(tmp_path, monkeypatch):
    taken, frame = [], 48 * 8 * 11 * 4 + 16
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: taken.append(size))
    first = AtFirst(taken)
    run(make_upscaler(), make_lr(8), tmp_path / "hr", cuts=(1,), observer=first)
    assert first.then == 2 * 9 * frame  # the sums of 7 frames, in both directions


def test_the_position_is_plain(tmp_path, monkeypatch):
    from safetensors import safe_open

    with safe_open(_unfinished(tmp_path, monkeypatch) / "position.safetensors", "pt") as file:
        assert json.loads(file.metadata()["position"])["stage"] == "sample"
