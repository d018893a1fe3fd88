"""Shots between cuts: nothing bleeds across a cut, and each shot is upscaled as if it were alone."""

import json

import pytest
import torch
from PIL import Image

from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.models.clip_condition import LRClip
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.workspace import Memory
from dcvsr.upscaling.reading import cut_rule
from dcvsr.video.io import read_video
from tests.comparing import apart
from tests.upscaling.making import make_lr, make_upscaler, run


def _make():
    return make_upscaler(sampler=Sampler(2, 0.1, 10, 7), guidance=NoGuidance())


def _upscaled(lr, output, cuts):
    run(_make(), lr, output, cuts)
    return read_video(output).frames


def test_a_shot_is_upscaled_as_if_it_were_alone(tmp_path):
    """Temporal layers and TAP carry the second scene into the first unless a cut is between them."""
    cut, lr = 3, make_lr(6, 8, 8)
    other = lr.clone()
    other[cut:] = 255 - other[cut:]
    bled = [_upscaled(frames, tmp_path / f"bled{i}", ())[:cut] for i, frames in enumerate((lr, other))]
    assert apart(bled[0], bled[1])
    kept = [_upscaled(frames, tmp_path / f"kept{i}", (cut,)) for i, frames in enumerate((lr, other))]
    assert torch.equal(kept[0][:cut], kept[1][:cut])
    assert apart(kept[0][cut:], kept[1][cut:])
    for start in (0, cut):
        shot = to_unit(lr)[start : start + cut]
        clip = LRClip(lambda part, shot=shot: shot[part.start : part.stop], cut, 8, 8, start)
        alone = torch.cat([*_make().job(clip, Memory(), torch.device("cpu"))()])
        assert torch.equal(kept[0][start : start + cut], to_bytes(alone))


@pytest.fixture
def scenes(tmp_path):
    """Twelve frames of three scenes, with cuts at 5 and 9."""
    (tmp_path / "in").mkdir()
    for i in range(12):
        colour = ["red", "green", "blue"][(i >= 5) + (i >= 9)]
        Image.new("RGB", (16, 16), colour).save(tmp_path / "in" / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("cuts", "part", "shots"),
    [
        ("detect", [], [[0, 5], [5, 4], [9, 3]]),
        ("none", [], [[0, 12]]),
        ("cuts.txt", [], [[0, 3], [3, 4], [7, 5]]),
        ("cuts.txt", ["start=2", "frames=4"], [[0, 1], [1, 3]]),
        ("cuts.txt", ["start=3"], [[0, 4], [4, 5]]),
    ],
)
def test_cuts_are_detected_or_read_from_a_file_that_counts_in_the_whole_video(run, scenes, cuts, part, shots):
    (scenes / "cuts.txt").write_text("0\n3, 7\n")
    done = run("upscale", "upscaler=bicubic", "input=in", "output=out", f"engine.cuts={cuts}", *part)
    assert done.code == 0, done.err
    assert json.loads((scenes / "out.json").read_text())["shots"] == shots


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("3 scene 2", r"cuts\.txt: scene is not the number of a frame; write one in each line"),
        ("3, -4", r"cuts\.txt: -4 is not the number of a frame"),
        (b"\xff\xfe", r"cuts\.txt is not UTF-8 text"),
        (None, r"engine\.cuts=.*cuts\.txt is not a file; pass detect, none, or a file of frame numbers"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, said):
    if content:
        (tmp_path / "cuts.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        cut_rule(tmp_path / "cuts.txt")


def test_a_cut_beyond_the_end_is_an_error_of_one_line_and_leaves_nothing(run, scenes):
    (scenes / "cuts.txt").write_text("3\n12\n")
    done = run("upscale", "upscaler=bicubic", "input=in", "output=out", "engine.cuts=cuts.txt")
    assert done.err == "dcvsr: engine.cuts: in has 12 frames and no frame 12; remove this cut\n"
    assert done.code == 2
    assert not {"out", "out.part", "out.json"} & {file.name for file in scenes.iterdir()}
