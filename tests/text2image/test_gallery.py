"""The run folder of images, and what is done there only once."""

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


def drawn(numbers: Sequence[int], gray: int = 0) -> GeneratedImages:
    images = {i: Image.new("RGB", (4, 4), (gray, i, 0)) for i in numbers}
    return GeneratedImages(images, forwards=2, evaluations=4 * len(images), seconds=1.5)


def test_batches_are_the_same_ones_whatever_is_there_already(tmp_path: Path) -> None:
    ours = gallery(tmp_path)
    assert ours.todo(2) == [range(0, 2), range(2, 4), range(4, 5)]
    ours.add(drawn([0, 1, 2]))
    assert gallery(tmp_path).todo(2) == [range(2, 4), range(4, 5)]
    ours.add(drawn([3, 4]))
    assert gallery(tmp_path).todo(2) == []


def test_an_image_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    ours = gallery(tmp_path)
    ours.add(drawn([0]))
    before = ours.files[0].read_bytes()
    ours.add(drawn([0, 1], gray=9))
    assert ours.files[0].read_bytes() == before
    assert Image.open(ours.files[1]).getpixel((0, 0)) == (9, 1, 0)


def test_costs_add_up_over_runs(tmp_path: Path) -> None:
    gallery(tmp_path).add(drawn([0, 1]))
    again = gallery(tmp_path)
    assert again.forwards == 2
    again.add(drawn([2]))
    assert gallery(tmp_path).cost == {"evaluations": 12, "seconds": 3.0}


def test_other_batches_and_longer_lists_go_on_and_no_caption_is_forgotten(tmp_path: Path) -> None:
    gallery(tmp_path, CAPTIONS[:3]).add(drawn([0]))
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
def test_images_of_others_are_refused(changed: dict, message: str, tmp_path: Path) -> None:
    gallery(tmp_path).add(drawn([0]))
    with pytest.raises(UserError, match=message):
        gallery(tmp_path, **changed)


def test_nothing_is_refused_before_the_first_image(tmp_path: Path) -> None:
    gallery(tmp_path)
    assert gallery(tmp_path, ["x", "y"], seed=1).todo(5) == [range(2)]
    assert (tmp_path / "captions.txt").read_text().split() == ["x", "y"]
