"""The calibration's configuration, and its conventions on images with published scores."""

from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.evaluation.calibration.comparison import calibrate, metric_of
from dcvsr.evaluation.calibration.conventions import Convention
from dcvsr.evaluation.calibration.published_scores import paper_scores
from dcvsr.evaluation.calibration.subjects import Subject
from dcvsr.evaluation.calibration.verdicts import verdicts
from dcvsr.evaluation.paper_tables import Paper
from dcvsr.runtime.cli import CONF

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
CPU = torch.device("cpu")


@cache
def known() -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("calibration/published")


def conventions(*names: str) -> dict[str, Convention]:
    found = {}
    for name in names:
        try:
            found[name] = instantiate(known().conventions[name])
        except InstantiationException as error:
            pytest.skip(str(error))
    return found


def subjects(*metrics: str) -> list[Subject]:
    """Subjects with published values of ``metrics``, without other published values."""
    if not GOLDEN.is_dir():
        pytest.skip("golden images are absent")
    pictures = [instantiate(part).subject(GOLDEN, CPU) for part in known().pictures.values()]
    every = [*pictures, *instantiate(known().scoreboard).subjects(GOLDEN, CPU)]
    kept = [(each, [value for value in each.published if value.metric in metrics]) for each in every]
    return [Subject(each.name, values, each.clips) for each, values in kept if values]


def test_every_published_metric_has_conventions() -> None:
    table = Paper(**known().table1)
    published = [
        *table.columns,
        *(metric for picture in known().pictures.values() for metric in picture.published),
    ]
    published += list(known().scoreboard.rows)
    assert {*published} <= {metric_of(name) for name in known().conventions}
    values = [value for dataset in table.values for value in paper_scores(table, dataset, "bicubic")]
    assert {(value.metric, value.value) for value in values} >= {("psnr", "25.92"), ("ssim", "0.6910")}
    for part in known().pictures.values():
        assert type(instantiate(part).published) is dict


DOWNLOADED = "${flows.raft}"
"""Config reference to weights that tests must not download."""


@pytest.mark.parametrize(
    "name", [key for key, part in known().conventions.items() if DOWNLOADED not in str(part)]
)
def test_every_convention_can_be_instantiated(name: str) -> None:
    (convention,) = conventions(name).values()
    assert isinstance(convention, Convention)
    assert not convention.readings or hasattr(convention.metric, "readings")


def test_descriptions_of_a_metrics_conventions_are_unique() -> None:
    descriptions = [
        (metric_of(name), says)
        for name, part in known().conventions.items()
        for says in [part.says, *part.get("readings", {}).values()]
    ]
    assert len({*descriptions}) == len(descriptions)


def test_the_official_psnr_uses_rgb() -> None:
    names = ("psnr_rgb", "psnr_rgb_cropped", "psnr_y", "psnr_y_rounded", "psnr_y_video")
    assert verdicts(calibrate(subjects("psnr"), conventions(*names), {})) == [
        "psnr (chaofengc/IQA-PyTorch, ResultsCalibra, row psnr): RGB reproduces 5 of 5"
    ]


def test_the_official_ssim_uses_matlabs_gray() -> None:
    names = ("ssim_y_rounded", "ssim_matlab", "ssim_rgb")
    assert verdicts(calibrate(subjects("ssim"), conventions(*names), {})) == [
        "ssim (chaofengc/IQA-PyTorch, ResultsCalibra, row ssim): MATLAB's rgb2gray, rounded reproduces 5 of 5"
    ]


def test_published_lpips_uses_alexnet() -> None:
    names = ("lpips_alex", "lpips_alex_unstretched")
    assert verdicts(calibrate(subjects("lpips"), conventions(*names), {})) == [
        f"lpips ({source}): v0.1 on AlexNet reproduces {number} of {number}"
        for source, number in [
            ("richzhang/PerceptualSimilarity", 2),
            ("chaofengc/IQA-PyTorch, ResultsCalibra, row lpips", 5),
        ]
    ]


def test_published_niqe_follows_two_conventions_and_matlabs_neither() -> None:
    names = ("niqe_basicsr", "niqe_matlab")
    ours, official, matlab = verdicts(calibrate(subjects("niqe"), conventions(*names), {}))
    assert ours.endswith("in float32 (basicsr's) reproduces 1 of 1")
    assert official.endswith("MATLAB's rgb2gray, rounded, in float64 is near 4 of 5")
    assert "no convention reproduces it" in matlab
