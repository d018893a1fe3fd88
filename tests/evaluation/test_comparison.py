"""Verdicts on artificial subjects, and their output files."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcvsr.evaluation.calibration.calibration_tables import as_json, comma_separated, markdown, write
from dcvsr.evaluation.calibration.comparison import Calibration, calibrate
from dcvsr.evaluation.calibration.conventions import Convention, FunctionMetric
from dcvsr.evaluation.calibration.published_scores import PublishedScore
from dcvsr.evaluation.calibration.subjects import Compared, Subject
from dcvsr.evaluation.calibration.verdicts import verdicts
from dcvsr.metrics.fidelity import PSNR, SSIM, PooledPSNR
from dcvsr.metrics.flow import Farneback
from dcvsr.metrics.no_reference import Unreferenced
from dcvsr.metrics.temporal import TOF

FARNEBACK = Farneback(0.5, 3, 15, 3, 5, 1.2, 0)


class Brightness(Unreferenced):
    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        return restored.mean()


def constant(value: float) -> FunctionMetric:
    return FunctionMetric(lambda restored, reference: torch.tensor(float(value)))


def conventions(values: Mapping[str, float]) -> dict[str, Convention]:
    return {name: Convention(f"words for {name}", constant(value)) for name, value in values.items()}


def clip(seed: int = 0, frames: int = 2) -> Compared:
    restored, reference = torch.rand(2, frames, 3, 48, 48, generator=torch.Generator().manual_seed(seed))
    return f"clip{seed}", restored, reference


def subject(*published: tuple[str, str], clips: Sequence[Compared] | None = None) -> Subject:
    found = [clip()] if clips is None else clips
    return Subject("it", [PublishedScore(*pair, "somebody") for pair in published], lambda: found)


def found(
    *subjects: Subject, values: Mapping[str, float], missing: Mapping[str, str] | None = None
) -> Calibration:
    return calibrate(subjects, conventions(values), missing or {})


@pytest.mark.parametrize("planted", ["psnr_rgb", "psnr_y", "psnr_cropped"])
def test_the_convention_behind_a_number_is_identified(planted: str) -> None:
    values = {"psnr_rgb": 25.114, "psnr_y": 26.432, "psnr_cropped": 25.171, "ssim_y": 0.7}
    calibration = found(subject(("psnr", f"{values[planted]:.2f}")), values=values)
    assert verdicts(calibration) == [f"psnr (somebody): words for {planted} reproduces 1 of 1"]
    assert [row.convention for row in calibration.rows if row.verdict == "reproduced"] == [
        f"words for {planted}"
    ]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"psnr_a": 25.921, "psnr_b": 25.919}, "words for psnr_a = words for psnr_b reproduces 1 of 1"),
        ({"psnr_a": 25.93, "psnr_b": 25.99}, "words for psnr_a is near 1 of 1"),
        ({"psnr_a": 24.0, "psnr_b": 27.0}, "no convention reproduces it; nearest is words for psnr_b, "
         "off by up to +1.08"),
        ({"psnr_a": math.nan, "ssim_a": 25.92}, "not computed: no convention has a value"),
        ({"psnr_a": math.inf, "psnr_b": 25.92}, "words for psnr_b reproduces 1 of 1"),
    ],
)  # fmt: skip
def test_verdicts(values: dict[str, float], verdict: str) -> None:
    assert verdicts(found(subject(("psnr", "25.92")), values=values)) == [f"psnr (somebody): {verdict}"]


def test_the_convention_that_reproduces_most_numbers_of_a_source_is_named() -> None:
    subjects = [subject(("psnr", value)) for value in ("25.92", "25.92", "25.91", "30.00")]
    calibration = found(*subjects, values={"psnr_a": 25.92, "psnr_b": 25.91})
    assert verdicts(calibration) == ["psnr (somebody): words for psnr_a reproduces 2 of 4, near 1 more"]


def test_a_convention_without_a_value_does_not_reproduce_a_number() -> None:
    small = ("small", torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    name, restored, _ = clip()
    subjects = [subject(("ssim", "1.00"), clips=[each]) for each in (small, (name, restored, restored))]
    calibration = calibrate(subjects, {"ssim_y": Convention("luma", SSIM())}, {})
    assert verdicts(calibration) == ["ssim (somebody): luma reproduces 1 of 2"]


def test_each_source_has_its_own_verdict() -> None:
    another = Subject("it", [PublishedScore("psnr", "25", "another")], lambda: [clip()])
    lines = verdicts(found(subject(("psnr", "26")), another, values={"psnr_a": 26, "psnr_b": 25}))
    assert lines == [
        "psnr (somebody): words for psnr_a reproduces 1 of 1",
        "psnr (another): words for psnr_b reproduces 1 of 1",
    ]


def test_a_metric_without_weights_is_listed_with_its_requirement() -> None:
    published = subject(("dover", "11.91"), ("psnr", "26"))
    calibration = found(published, values={"psnr_a": 26}, missing={"dover_overall": "put DOVER.pth there"})
    assert verdicts(calibration)[0] == "dover (somebody): not computed: put DOVER.pth there"
    assert [row.verdict for row in calibration.rows] == ["missing", "reproduced"]
    assert "missing: dover_overall: put DOVER.pth there" in markdown(calibration)


def test_subjects_without_published_values_are_scored_by_all_conventions() -> None:
    calibration = found(subject(), values={"psnr_a": 26, "ssim_a": 0.7})
    assert [(row.metric, row.ours, row.verdict) for row in calibration.rows] == [
        ("psnr", 26, ""),
        ("ssim", pytest.approx(0.7), ""),
    ]
    assert verdicts(calibration) == ["it: no published value is known"]


def test_scores_are_means_over_separately_scored_clips() -> None:
    clips = [clip(0, frames=1), clip(1, frames=3)]
    chosen = {"psnr_mean": Convention("mean", PSNR()), "psnr_pooled": Convention("pooled", PooledPSNR())}
    rows = calibrate([subject(clips=clips)], chosen, {}).rows
    for row, metric in zip(rows, (PSNR(), PooledPSNR()), strict=True):
        alone = []
        for _, restored, reference in clips:
            assert reference is not None
            metric.reset()
            metric.update(restored, reference)
            alone.append(float(metric.compute()))
        assert row.ours == pytest.approx(sum(alone) / 2, rel=1e-6)


def test_readings_with_descriptions_are_conventions() -> None:
    tof = {"tof_farneback": Convention("L1", TOF(FARNEBACK), {"components": "mean over components"})}
    whole, half = calibrate([subject(("tof", "2.91"))], tof, {}).rows
    assert (whole.convention, half.convention) == ("L1", "mean over components")
    assert half.ours == pytest.approx(whole.ours / 2)  # type: ignore[operator]


def test_clips_without_reference_are_scored_by_no_reference_metrics() -> None:
    chosen = conventions({"psnr_a": 26}) | {"niqe_a": Convention("brightness", Brightness())}
    name, restored, _ = clip()
    psnr, niqe = calibrate([subject(clips=[(name, restored, None)])], chosen, {}).rows
    assert psnr.ours is None
    assert niqe.ours == pytest.approx(restored.mean().item(), abs=1e-3)


def test_a_metric_that_rejects_a_subject_has_no_value(caplog: pytest.LogCaptureFixture) -> None:
    small = ("small", torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    (row,) = calibrate(
        [subject(("ssim", "0.7"), clips=[small])], {"ssim_y": Convention("y", SSIM())}, {}
    ).rows
    assert (row.ours, row.verdict) == (None, "no value")
    assert "small: ssim_y has no score: SSIM needs 11x11" in caplog.text


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    published = subject(("psnr", "25.92"), ("dover", "11.91"))
    values = {"psnr_a": 25.924, "psnr_b": math.inf, "ssim_a": 0.7}
    return found(published, subject(), values=values, missing={"dover_a": "why"})


def test_markdown_shows_the_verdicts_and_every_row(calibration: Calibration) -> None:
    text = markdown(calibration)
    assert text.startswith("- psnr (somebody): words for psnr_a reproduces 1 of 1\n")
    table = [line.strip("|\n ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(calibration.rows)
    assert len({len(cells) for cells in table}) == 1
    shown = [
        "it",
        "psnr",
        "25.92",
        "somebody",
        "words for psnr_a",
        "25.9240",
        "4 of 4",
        "+0.0040",
        "reproduced",
    ]
    assert shown in table


def test_csv_and_json_hold_the_same_rows(calibration: Calibration) -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(calibration))))
    content = json.loads(as_json(calibration), parse_constant=lambda name: pytest.fail(f"JSON has no {name}"))
    assert content["verdicts"] == verdicts(calibration)
    assert content["missing"] == {"dover_a": "why"}
    assert len(rows) == len(content["rows"]) == len(calibration.rows)
    for row, entry in zip(rows, content["rows"], strict=True):
        finite = {key: "" if value is None else str(value) for key, value in entry.items()}
        assert {key: "" if "inf" in value else value for key, value in row.items()} == finite


def test_write_creates_three_files(calibration: Calibration, tmp_path: Path) -> None:
    write(tmp_path, calibration)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "calibration.md": markdown(calibration),
        "calibration.csv": comma_separated(calibration),
        "calibration.json": as_json(calibration),
    }
