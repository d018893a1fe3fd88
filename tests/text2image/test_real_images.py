"""Images from a folder, at one size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.real_images import RealImages, batches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different sizes and modes, and a file that is none."""
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "0.png")
    Image.new("L", (16, 16), 100).save(tmp_path / "1.JPG")
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 200
    Image.fromarray(stripes).save(tmp_path / "2.webp", lossless=True)
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_all_come_at_the_size_asked_for_in_batches(folder: Path) -> None:
    first, last = RealImages(str(folder), batch=2)((8, 8))
    assert (first.shape, last.shape) == ((2, 3, 8, 8), (1, 3, 8, 8))
    assert first.dtype == torch.uint8
    assert first[0].flatten(1).unique(dim=1).squeeze().tolist() == [255, 0, 0]


def test_they_are_cropped_in_the_middle_before_they_are_resized(folder: Path) -> None:
    (images,) = RealImages(str(folder), batch=3)((10, 10))
    assert images[2].unique().tolist() == [200]


def test_height_comes_before_width(folder: Path) -> None:
    (images,) = RealImages(str(folder), batch=3)((4, 6))
    assert images.shape == (3, 3, 4, 6)


def test_images_of_one_size_come_as_they_are(folder: Path) -> None:
    (images,) = batches([folder / "2.webp"] * 2, None, 4, "made")
    assert torch.equal(images[0], torch.from_numpy(np.array(Image.open(folder / "2.webp"))).permute(2, 0, 1))


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read the image .*3.png"):
        list(RealImages(str(folder), batch=2)((8, 8)))


def test_too_few_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"two real images or more: .* holds 1"):
        RealImages(str(tmp_path), batch=2)
    with pytest.raises(UserError, match=r"cannot read .*nowhere"):
        RealImages(str(tmp_path / "nowhere"), batch=2)
    with pytest.raises(UserError, match="give real_images=FOLDER"):
        RealImages(None, batch=2)
