"""Means and spreads against numpy; paired comparisons against scipy, and against the rates they promise."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dcvsr.report.column import MARK
from dcvsr.report.statistics import FEWEST, LEVEL, difference, holm, mean, spread, student
from dcvsr.report.table import tables
from tests.report.making import run

SCORES = st.integers(1, 4).flatmap(
    lambda seeds: st.dictionaries(
        st.text(max_size=3), st.lists(st.floats(-100, 100), min_size=seeds, max_size=seeds), min_size=1
    )
)
P_VALUES = st.lists(st.floats(0, 1), max_size=20)
DRAWS = 4000
ERROR = 3.5 * (LEVEL * (1 - LEVEL) / DRAWS) ** 0.5
"""Of a rate of 5 % measured on so many draws, 3.5 standard errors: 1.2 %."""

NULLS: dict[str, Callable[..., np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "log-normal scores": lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, size=shape),
    "skewed": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
}
"""Differences of clips whose expectation is zero."""


def rejected(null: str, clips: int) -> float:
    drawn = NULLS[null](np.random.default_rng(clips), (DRAWS, clips))
    return float(np.mean([student(row)[2] <= LEVEL for row in drawn]))


@given(SCORES)
def test_mean_and_spread_are_numpy_s(scores: dict[str, list[float]]) -> None:
    table = np.array(list(scores.values()))
    assert mean(scores) == pytest.approx(table.mean(), abs=1e-9)
    if table.shape[1] > 1:
        assert spread(scores) == pytest.approx(table.mean(axis=0).std(ddof=1), abs=1e-6)
    else:
        assert spread(scores) is None


def normal(seed: int, clips: int, seeds: int, shift: float = 0.0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {str(clip): list(shift + rng.normal(size=seeds)) for clip in range(clips)}


@pytest.mark.parametrize("clips", [3, 4, 5, 9, 10])
def test_a_true_null_of_normal_differences_is_rejected_at_the_nominal_rate(clips: int) -> None:
    assert rejected("normal", clips) == pytest.approx(LEVEL, abs=ERROR)


@pytest.mark.parametrize("clips", [3, 4, 5, 9, 10])
@pytest.mark.parametrize("null", ["log-normal scores", "heavy tails"])
def test_a_true_null_of_symmetric_heavy_tails_is_rejected_no_more_often(null: str, clips: int) -> None:
    assert 0.01 < rejected(null, clips) <= LEVEL + ERROR


@pytest.mark.parametrize("clips", [3, 4, 5, 9, 10])
def test_a_true_null_of_skewed_differences_is_rejected_as_often_as_the_docstring_says(clips: int) -> None:
    """Known limitation: no interval for a mean holds here; measured 16, 18, 18, 16 and 16 %."""
    assert 0.14 < rejected("skewed", clips) < 0.20


@pytest.mark.parametrize("clips", [3, 4, 5, 9, 10])
def test_the_interval_covers_a_true_gain_at_its_nominal_rate(clips: int) -> None:
    drawn = 0.5 + np.random.default_rng(clips).normal(size=(DRAWS, clips))
    covered = np.mean([low <= 0.5 <= high for low, high, _ in map(student, drawn)])
    assert covered == pytest.approx(1 - LEVEL, abs=ERROR)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_student_is_scipy_s_test_of_one_sample(differences: list[float]) -> None:
    if np.std(differences) < 1e-6:
        return
    expected = stats.ttest_1samp(differences, 0)
    low, high, p = student(differences)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6, abs=1e-9)
    assert p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_a_table_of_true_nulls_marks_a_difference_in_one_table_of_twenty() -> None:
    """Three rows and two metrics share clips and the reference, so that the six comparisons are dependent."""
    rng, marked, count = np.random.default_rng(0), 0, 600
    for _ in range(count):
        runs = [
            run(name, psnr=rng.normal(size=6), lpips=rng.normal(size=6)) for name in ("dcvsr", "a", "b", "c")
        ]
        [table] = tables(runs)
        marked += any(cell.difference.endswith(MARK) for row in table.rows for cell in row.cells)
    assert 0.01 < marked / count <= LEVEL + 3.5 * (LEVEL * (1 - LEVEL) / count) ** 0.5


@given(P_VALUES)
def test_holm_rejects_as_its_definition_steps_down(p: list[float]) -> None:
    stands, adjusted = set(), holm(p)
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] * (len(p) - step) > LEVEL:
            break
        stands.add(i)
    assert {i for i, value in enumerate(adjusted) if value <= LEVEL} == stands
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))


def test_equal_scores_are_no_difference_and_a_constant_gain_is_one() -> None:
    scores = normal(0, FEWEST, 3)
    equal = difference(scores, scores)
    assert (equal.interval, equal.p) == ((0, 0), 1)
    better = {clip: [value + 0.1 for value in values] for clip, values in scores.items()}
    gain = difference(better, scores)
    assert gain.interval == pytest.approx((0.1, 0.1))
    assert gain.p == pytest.approx(0, abs=1e-9)


def test_swapping_the_two_turns_the_interval_over() -> None:
    one, other = normal(0, 8, 3, 0.3), normal(1, 8, 3)
    there, back = difference(one, other), difference(other, one)
    assert there.interval is not None
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.p == pytest.approx(there.p)


def test_more_seeds_of_the_same_clips_are_no_more_evidence() -> None:
    few, many = ({str(clip): [clip - 1.5] * seeds for clip in range(6)} for seeds in (1, 50))
    none = {str(clip): [0.0] for clip in range(6)}
    assert difference(many, none) == difference(few, none)


@pytest.mark.parametrize("clips", range(1, FEWEST + 2))
def test_fewer_clips_than_five_are_not_tested(clips: int) -> None:
    found = difference(normal(0, clips, 9, 100.0), normal(1, clips, 1))
    assert found.clips == clips
    assert found.mean == pytest.approx(100, abs=3)
    assert (found.p is None) == (found.interval is None) == (clips < FEWEST)


def test_other_clips_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same clips"):
        difference({"a": [1.0]}, {"b": [1.0]})
