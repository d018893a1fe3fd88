"""Agreement of two numbers, digit by digit; what a table of the paper gives."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.evaluation.calibration.published_scores import PublishedScore, of_paper
from dcvsr.evaluation.paper_tables import Paper
from dcvsr.runtime.errors import UserError

NUMBERS = st.decimals(min_value=Decimal("-999.9999"), max_value=Decimal("999.9999"), places=4)


def published(value: str) -> PublishedScore:
    return PublishedScore("psnr", value, "somebody")


@given(NUMBERS, st.integers(0, 4))
def test_what_prints_as_the_published_number_reproduces_it(ours: Decimal, places: int) -> None:
    assert published(f"{float(ours):.{places}f}").verdict(float(ours)) == "reproduced"


@given(NUMBERS, st.floats(1.01, 1000), st.sampled_from([-1, 1]))
def test_half_a_unit_of_the_last_digit_is_the_limit(value: Decimal, units: float, sign: int) -> None:
    known = published(str(value))
    assert known.verdict(float(value) + sign * 0.49e-4) == "reproduced"
    assert known.verdict(float(value) + sign * units * 0.5e-4) != "reproduced"


@given(NUMBERS, st.floats(0, 100), st.floats(0, 100))
def test_what_is_closer_agrees_in_no_fewer_digits(value: Decimal, one: float, other: float) -> None:
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
        ("0.6910", 0.69106, 3, 4, "near"),  # the last zero is one of its digits
        ("0.0521", 0.052, 2, 3, "not"),
        ("0.0", 0.04, 1, 1, "reproduced"),
        ("9.99", 10.001, 2, 3, "not"),
        ("100", float("inf"), 0, 3, "not"),
    ],
)
def test_digits_count_from_the_first_that_is_not_zero(
    value: str, ours: float, agreed: int, digits: int, verdict: str
) -> None:
    known = published(value)
    assert (known.agreed(ours), known.digits, known.verdict(ours)) == (agreed, digits, verdict)


@pytest.mark.parametrize("value", ["", "n/a", "nan", "inf", "1,5"])
def test_what_is_no_number_is_refused_with_its_source(value: str) -> None:
    with pytest.raises(UserError, match=rf"somebody: psnr is '{value}', which is no number"):
        published(value)


def test_a_table_s_numbers_keep_the_zeros_that_yaml_drops() -> None:
    paper = Paper("Table 1", ["bicubic", "ours"], ["ssim"], {"REDS4": {"ssim": [0.6910, 0.7106]}})
    assert of_paper(paper, "REDS4", "bicubic") == [
        PublishedScore("ssim", "0.6910", "Table 1, bicubic on REDS4")
    ]
    assert of_paper(paper, "packaged", "bicubic") == []
