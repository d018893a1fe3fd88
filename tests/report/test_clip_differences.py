"""Differences clip by clip: their sign, who is better, and what is not known."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.report.clip_differences import Delta, comma_separated, deltas, markdown
from dcvsr.report.runs import Run

HIGHER = {"psnr": True, "lpips": False}


def run(upscaler: str, psnr: float | None, lpips: float = 0.5, seed: int = 0, clip: str = "a") -> Run:
    scores: dict[str, dict[str, float | None]] = {clip: {"psnr": psnr, "lpips": lpips}}
    return Run(upscaler, seed, "X", scores, HIGHER, (), 8, 1.5)


@given(st.floats(0, 60), st.floats(0, 60))
def test_better_is_said_where_the_metric_says_so(ours: float, theirs: float) -> None:
    psnr, lpips = deltas([run("dcvsr", ours, ours), run("bicubic", theirs, theirs)], "dcvsr")
    [[up]], [[down]] = psnr.clips.values(), lpips.clips.values()
    assert float(up.text) == pytest.approx(ours - theirs, abs=0.011)
    assert up.text == down.text
    expected = {1: ("better", "worse"), 0: ("", ""), -1: ("worse", "better")}
    sign = (float(up.text) > 0) - (float(up.text) < 0)
    assert (up.verdict, down.verdict) == expected[sign]


def test_seeds_are_averaged_before_they_are_compared() -> None:
    runs = [run("dcvsr", 30.0, seed=0), run("dcvsr", 32.0, seed=1), run("bicubic", 29.0)]
    psnr, _ = deltas(runs, "dcvsr")
    assert psnr.clips == {"a": [Delta("29.00", "+2.00", "better")]}
    assert psnr.wins() == ["1 of 1"]


def test_what_is_not_known_of_one_seed_or_row_stays_empty() -> None:
    runs = [run("dcvsr", 30.0, seed=0), run("dcvsr", None, seed=1), run("bicubic", 29.0)]
    psnr, lpips = deltas(runs, "dcvsr")
    assert psnr.clips == {"a": [Delta("29.00", "-", "")]}
    assert psnr.wins() == ["0 of 0"]
    assert lpips.clips == {"a": [Delta("0.5000", "+0.0000", "")]}
    [lacking, _] = deltas([run("dcvsr", 30.0), run("bicubic", None)], "dcvsr")
    assert lacking.clips == {"a": [Delta()]}


def test_nothing_is_compared_without_the_reference_or_with_it_alone() -> None:
    assert deltas([run("a", 30.0), run("b", 29.0)], "dcvsr") == []
    assert deltas([run("dcvsr", 30.0)], "dcvsr") == []


def test_runs_on_other_clips_are_not_compared() -> None:
    assert deltas([run("dcvsr", 30.0), run("bicubic", 29.0, clip="b")], "dcvsr") == []


def test_both_texts_say_the_same() -> None:
    compared = deltas([run("dcvsr", 30.0, 0.2), run("bicubic", 29.0, 0.5)], "dcvsr")
    lines = list(csv.DictReader(io.StringIO(comma_separated(compared))))
    assert [(line["metric"], line["row"], line["ours"], line["reference minus row"]) for line in lines] == [
        ("psnr", "bicubic", "29.00", "+1.00"),
        ("lpips", "bicubic", "0.5000", "-0.3000"),
    ]
    text = markdown(compared)
    assert text.startswith(
        "PSNR ↑: dcvsr minus each other, clip by clip (X).\n\n|  | bicubic |\n| --- | --- |\n"
    )
    assert "| a | +1.00 |\n| better on | 1 of 1 |\n" in text
    assert "| a | -0.3000 |\n" in text
