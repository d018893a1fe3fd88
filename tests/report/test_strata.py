"""Strata: halves that leave no clip out, and what tables say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.column import MARK, NOISE
from dcvsr.report.runs import Run
from dcvsr.report.strata import halves, strata
from dcvsr.report.table_files import comma_separated, markdown
from tests.report.making import cells, run

STRENGTHS = st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 100), max_size=12)


@given(STRENGTHS, st.sampled_from([-1, 1]))
def test_halves_leave_no_clip_out_and_differ_by_one_at_most(
    strengths: dict[str, float | None], sign: int
) -> None:
    found = halves(strengths, sign)
    assert sorted(clip for half in found.values() for clip in half) == sorted(strengths)
    lighter, heavier = (
        [sign * (strengths[clip] or 0) for clip in found[half]] for half in ("lighter", "heavier")
    )
    assert all(strengths[clip] is None for clip in found["none"])
    if len(set(lighter + heavier)) > 1:
        assert len(lighter) - len(heavier) in (0, 1)
        assert max(lighter) <= np.median(lighter + heavier) <= min(heavier)
    else:
        assert not heavier


def degraded(made: Run, **strengths: Sequence[float | None]) -> Run:
    clips = range(len(made.scores))
    told = {f"clip{i}": {kind: values[i] for kind, values in strengths.items()} for i in clips}
    return replace(made, strength=told)


PSNR = [31.0, 22.0, 33.0, 24.0, 35.0, 26.0]
GAIN = [1.0, -1.0, 1.1, 1.0, 0.9, -1.0]
KINDS: Mapping[str, Sequence[float | None]] = {
    "noise": [1.0, 20.0, 3.0, 10.0, 2.0, 30.0],
    "jpeg": [90.0, None, 50.0, 40.0, 80.0, None],
    "blur": [1.0, None, None, None, None, None],
    "crf": [None] * 6,
}


def test_each_half_has_its_means_and_its_interval() -> None:
    ours = [psnr + gain for psnr, gain in zip(PSNR, GAIN, strict=True)]
    rows = [run("bicubic", psnr=PSNR), run("dcvsr", psnr=ours)]
    found = {table.dataset: table for table in strata([degraded(row, **KINDS) for row in rows])}
    assert list(found) == [
        "X, blur none",
        "X, noise lighter",
        "X, noise heavier",
        "X, jpeg none",
        "X, jpeg lighter",
        "X, jpeg heavier",
    ]
    assert found["X, noise lighter"].title == "Noise (levels of 255), lighter: 1 to 3"
    assert found["X, jpeg heavier"].title == "JPEG (quality), heavier: 40 to 50"
    assert found["X, jpeg none"].title == "JPEG (quality): none"
    lighter, heavier = found["X, noise lighter"], found["X, noise heavier"]
    assert (lighter.clips, heavier.clips) == (("clip0", "clip2", "clip4"), ("clip1", "clip3", "clip5"))
    assert cells(lighter, "bicubic")["PSNR"].text == f"{np.mean([31, 33, 35]):.2f}"
    assert cells(lighter, "bicubic")["PSNR"].difference == "+1.00 (too few clips: 3)"
    assert cells(heavier, "bicubic")["PSNR"].difference == "-0.33 (too few clips: 3)"


def test_a_half_of_five_clips_is_tested_as_a_family_of_its_own() -> None:
    noise, gain = [float(i) for i in range(10)], [1.0, 0.9, 1.1, 1.0, 1.1, -2.0, 2.0, -2.0, 2.0, 0.5]
    rows = [run("bicubic", psnr=[20.0] * 10), run("dcvsr", psnr=[20.0 + value for value in gain])]
    lighter, heavier = strata([degraded(row, noise=noise) for row in rows])
    assert cells(lighter, "bicubic")["PSNR"].difference.endswith(MARK)
    assert cells(heavier, "bicubic")["PSNR"].difference.endswith(NOISE)
    assert "for the 1 comparison of" in lighter.legend


def test_strata_print_as_other_tables_do_but_for_their_cost() -> None:
    rows = [degraded(run(name, psnr=PSNR), noise=KINDS["noise"]) for name in ("bicubic", "dcvsr")]
    found = strata(rows)
    assert "| bicubic | **33.00** | 1 |  |  |" in markdown(found)
    assert '"X, noise lighter",bicubic,PSNR,33.00,,+0.00 (too few clips: 3),,3,1,' in comma_separated(found)


def test_fewer_than_two_clips_are_no_stratum() -> None:
    assert not strata([degraded(run("dcvsr", psnr=[1.0, 2.0]), noise=[1.0, 2.0], blur=[1.0, None])])
    [table] = strata([degraded(run("dcvsr", psnr=[1.0, 2.0, 3.0]), noise=[1.0, 2.0, 3.0])])
    assert table.clips == ("clip0", "clip1")


@pytest.mark.parametrize("same", [3.0, None])
def test_where_all_were_degraded_alike_there_are_no_strata(same: float | None) -> None:
    assert not strata([degraded(run("dcvsr", psnr=PSNR), noise=[same] * 6)])
    assert not strata([run("dcvsr", psnr=PSNR)])


def test_clips_of_which_runs_had_different_lr_are_in_no_stratum() -> None:
    strengths = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    rows = [
        degraded(run("dcvsr", psnr=PSNR), noise=strengths),
        degraded(run("other", psnr=PSNR), noise=[9.0, *strengths[1:]]),
        run("rival", psnr=PSNR),
    ]
    lighter, heavier = strata(rows)
    assert (lighter.clips, heavier.clips) == (("clip1", "clip2", "clip3"), ("clip4", "clip5"))
    assert [row.label for row in lighter.rows] == ["dcvsr", "other", "rival"]
