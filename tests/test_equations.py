"""Every equation of the paper's method is cited where it is computed."""

import re
from pathlib import Path

import pytest

import dcvsr

FOLDER = Path(dcvsr.__file__).parent
CITED = re.compile(r"(?<!\d{4}, )\bEqs?\. (\(\d+\)(?:(?:, | and )\(\d+\))*)")
"""``Eq. (1)``, ``Eqs. (1), (2)``; ``Karras et al. 2022, Eq. (5)`` is another paper's."""

COMPUTED = {
    1: "attention/self_attention.py",
    2: "attention/exchange.py",
    3: "diffusion/guidance.py",
    4: "diffusion/guidance.py",
    5: "diffusion/guidance.py",
    6: "diffusion/guidance.py",
    7: "attention/self_attention.py",
    8: "diffusion/guidance.py",
    9: "diffusion/guidance.py",
    10: "diffusion/schedule.py",
    11: "diffusion/loss.py",
    12: "models/denoiser.py",
    13: "metrics/temporal.py",
    14: "metrics/temporal.py",
}


def _cited(text: str) -> set[int]:
    return {int(number) for group in CITED.findall(text) for number in re.findall(r"\d+", group)}


@pytest.mark.parametrize(("equation", "path"), COMPUTED.items())
def test_an_equation_is_cited_where_it_is_computed(equation, path):
    assert equation in _cited((FOLDER / path).read_text())


def test_no_other_equation_is_cited():
    """The paper has no others."""
    cited = set().union(*(_cited(path.read_text()) for path in FOLDER.rglob("*.py")))
    assert cited == set(COMPUTED)


def test_another_paper_s_equation_is_not_counted():
    assert _cited("Karras et al. 2022, Eq. (5): levels") == set()
    assert _cited("Eqs. (3), (9) and (10), by Eq. (7)") == {3, 7, 9, 10}
