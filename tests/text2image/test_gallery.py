"""Generated images in a run folder, and how runs resume."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.gallery import Gallery
from dcvsr.text2image.generation import GeneratedImages

CAPTIONS = ["a", "b", "c", "d", "e"]
SETTINGS = {"seed": 0, "sampler": {"steps": 2}, "guidance": {"scale": 1.0}, "batch": 4}
WEIGHTS = {"file": None, "sha256": "0123"}


def gallery(folder: Path, captions: Sequence[str] = CAPTIONS, weights: object = WEIGHTS, **changed: object):
    return Gallery(folder, {"settings": SETTINGS | changed, "weights": weights}, captions)


def generated(numbers: Sequence[int], gray: int = 0) -> GeneratedImages:
    images = {i: Image.new("RGB", (4, 4), (gray, i, 0)) for i in numbers}
    return GeneratedImages(images, forwards=2, evaluations=4 * len(images), seconds=1.5)


def test_the_division_into_batches_does_not_depend_on_existing_images(tmp_path: Path) -> None:
    ours = gallery(tmp_path)
    assert ours.todo(2) == [range(0, 2), range(2, 4), range(4, 5)]
    ours.add(generated([0, 1, 2]))
    assert gallery(tmp_path).todo(2) == [range(2, 4), range(4, 5)]
    ours.add(generated([3, 4]))
    assert gallery(tmp_path).todo(2) == []


def test_existing_images_are_not_overwritten(tmp_path: Path) -> None:
    ours = gallery(tmp_path)
    ours.add(generated([0]))
    before = ours.files[0].read_bytes()
    ours.add(generated([0, 1], gray=9))
    assert ours.files[0].read_bytes() == before
    assert Image.open(ours.files[1]).getpixel((0, 0)) == (9, 1, 0)


def test_costs_add_up_over_runs(tmp_path: Path) -> None:
    gallery(tmp_path).add(generated([0, 1]))
    again = gallery(tmp_path)
    assert again.forwards == 2
    again.add(generated([2]))
    assert gallery(tmp_path).cost == {"evaluations": 12, "seconds": 3.0}


def test_a_run_resumes_with_another_batch_size_or_another_number_of_captions(tmp_path: Path) -> None:
    gallery(tmp_path, CAPTIONS[:3]).add(generated([0]))
    gallery(tmp_path, batch=1)
    gallery(tmp_path, CAPTIONS[:2])
    assert (tmp_path / "captions.txt").read_text().split() == CAPTIONS


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"sampler": {"steps": 3}}, r"sampler\.steps is 2 there, 3 here"),
        ({"guidance": {"scale": 3.0}}, r"guidance\.scale is 1.0 there, 3.0 here"),
        ({"weights": {"file": "mine", "sha256": "4567"}}, "weights is 0123 there, 4567 here"),
        ({"captions": ["a", "x"]}, "image 1 is of 'b' there, of 'x' here"),
    ],
)
def test_images_of_other_settings_weights_or_captions_are_rejected(
    changed: dict, message: str, tmp_path: Path
) -> None:
    gallery(tmp_path).add(generated([0]))
    with pytest.raises(UserError, match=message):
        gallery(tmp_path, **changed)


def test_settings_may_change_before_the_first_image(tmp_path: Path) -> None:
    gallery(tmp_path)
    assert gallery(tmp_path, ["x", "y"], seed=1).todo(5) == [range(2)]
    assert (tmp_path / "captions.txt").read_text().split() == ["x", "y"]
