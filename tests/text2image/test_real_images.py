"""Images read from a folder at one size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.real_images import RealImages, batches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of three images of different sizes and modes, and a file that is not an image."""
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "0.png")
    Image.new("L", (16, 16), 100).save(tmp_path / "1.JPG")
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 200
    Image.fromarray(stripes).save(tmp_path / "2.webp", lossless=True)
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_all_images_are_returned_in_batches_of_the_given_size(folder: Path) -> None:
    first, last = RealImages(str(folder), batch=2)((8, 8))
    assert (first.shape, last.shape) == ((2, 3, 8, 8), (1, 3, 8, 8))
    assert first.dtype == torch.uint8
    assert first[0].flatten(1).unique(dim=1).squeeze().tolist() == [255, 0, 0]


def test_images_are_cropped_centrally_before_resizing(folder: Path) -> None:
    (images,) = RealImages(str(folder), batch=3)((10, 10))
    assert images[2].unique().tolist() == [200]


def test_the_size_is_height_then_width(folder: Path) -> None:
    (images,) = RealImages(str(folder), batch=3)((4, 6))
    assert images.shape == (3, 3, 4, 6)


def test_images_are_not_resized_without_a_size(folder: Path) -> None:
    (images,) = batches([folder / "2.webp"] * 2, None, 4, "made")
    assert torch.equal(images[0], torch.from_numpy(np.array(Image.open(folder / "2.webp"))).permute(2, 0, 1))


def test_a_file_that_is_not_an_image_is_rejected_by_name(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read the image .*3.png"):
        list(RealImages(str(folder), batch=2)((8, 8)))


def test_missing_folders_and_too_few_images_are_rejected(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"at least two real images: .* holds 1"):
        RealImages(str(tmp_path), batch=2)
    with pytest.raises(UserError, match=r"cannot read .*nowhere"):
        RealImages(str(tmp_path / "nowhere"), batch=2)
    with pytest.raises(UserError, match="give real_images=FOLDER"):
        RealImages(None, batch=2)
