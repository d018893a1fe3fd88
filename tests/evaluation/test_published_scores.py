"""Agreement of scores digit by digit, and scores from the paper's tables."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.evaluation.calibration.published_scores import PublishedScore, paper_scores
from dcvsr.evaluation.paper_tables import Paper
from dcvsr.runtime.errors import UserError

NUMBERS = st.decimals(min_value=Decimal("-999.9999"), max_value=Decimal("999.9999"), places=4)


def published(value: str) -> PublishedScore:
    return PublishedScore("psnr", value, "somebody")


@given(NUMBERS, st.integers(0, 4))
def test_a_number_that_rounds_to_the_published_one_reproduces_it(ours: Decimal, places: int) -> None:
    assert published(f"{float(ours):.{places}f}").verdict(float(ours)) == "reproduced"


@given(NUMBERS, st.floats(1.01, 1000), st.sampled_from([-1, 1]))
def test_the_tolerance_is_half_a_unit_of_the_last_digit(value: Decimal, units: float, sign: int) -> None:
    known = published(str(value))
    assert known.verdict(float(value) + sign * 0.49e-4) == "reproduced"
    assert known.verdict(float(value) + sign * units * 0.5e-4) != "reproduced"


@given(NUMBERS, st.floats(0, 100), st.floats(0, 100))
def test_a_closer_number_agrees_in_at_least_as_many_digits(value: Decimal, one: float, other: float) -> None:
    known = published(str(value))
    near, far = sorted([one, other])
    assert known.digits >= known.agreed(float(value) + near) >= known.agreed(float(value) + far) >= 0


@pytest.mark.parametrize(
    ("value", "ours", "agreed", "digits", "verdict"),
    [
        ("25.92", 25.9249, 4, 4, "reproduced"),
        ("25.92", 25.94, 3, 4, "near"),
        ("25.92", 26.1, 2, 4, "not"),
        ("0.6910", 0.69104, 4, 4, "reproduced"),
        ("0.6910", 0.69106, 3, 4, "near"),  # the trailing zero is significant
        ("0.0521", 0.052, 2, 3, "not"),
        ("0.0", 0.04, 1, 1, "reproduced"),
        ("9.99", 10.001, 2, 3, "not"),
        ("100", float("inf"), 0, 3, "not"),
    ],
)
def test_agreement_counts_significant_digits(
    value: str, ours: float, agreed: int, digits: int, verdict: str
) -> None:
    known = published(value)
    assert (known.agreed(ours), known.digits, known.verdict(ours)) == (agreed, digits, verdict)


@pytest.mark.parametrize("value", ["", "n/a", "nan", "inf", "1,5"])
def test_values_that_are_not_numbers_are_rejected_with_their_source(value: str) -> None:
    with pytest.raises(UserError, match=rf"somebody: psnr is '{value}', which is not a number"):
        published(value)


def test_paper_scores_keep_the_trailing_zeros_that_yaml_drops() -> None:
    paper = Paper("Table 1", ["bicubic", "ours"], ["ssim"], {"REDS4": {"ssim": [0.6910, 0.7106]}})
    assert paper_scores(paper, "REDS4", "bicubic") == [
        PublishedScore("ssim", "0.6910", "Table 1, bicubic on REDS4")
    ]
    assert paper_scores(paper, "packaged", "bicubic") == []
