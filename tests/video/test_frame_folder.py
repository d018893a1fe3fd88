"""Tests of frame folders: exact pixels, natural order, and errors."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import Video, read_video, to_unit, write_video
from tests.data.making import noise


def save(folder: Path, *names: str) -> None:
    for name, image in zip(names, noise(len(names)), strict=True):
        Image.fromarray(image).save(folder / name)


def pixels(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=20)
def test_writing_and_reading_a_folder_is_lossless(
    tmp_path_factory: pytest.TempPathFactory, frames: int, height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, height, width), generator=generator, dtype=torch.uint8)
    folder = tmp_path_factory.mktemp("frames")
    write_video(folder / "a", to_unit(pixels).split(5), Video(pixels, Fraction(25)), crf=0)
    back = read_video(folder / "a")
    assert torch.equal(back.frames, pixels)
    assert back.names == tuple(f"{index:08d}" for index in range(frames))


def test_frames_are_read_in_natural_order_and_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = ("1.png", "2.png", "10.jpg", "10b.png", "a1 (2).png", "a1 (11).png", "a1.5.png", "é.webp")
    save(tmp_path / "in", *names)
    (tmp_path / "in" / "manifest.json").write_text("{}")
    (tmp_path / "in" / "._1.png").write_text("resource fork of macOS")
    video = read_video(tmp_path / "in")
    assert set(video.names) == {Path(name).stem for name in names}
    assert video.names[:4] == ("1", "2", "10", "10b")
    assert video.names.index("a1 (2)") < video.names.index("a1 (11)")
    write_video(tmp_path / "out", to_unit(video.frames), video, crf=0)
    back = read_video(tmp_path / "out")
    assert back.names == video.names
    assert torch.equal(back.frames, video.frames)


def test_grey_indexed_and_opaque_images_are_read_as_rgb(tmp_path: Path) -> None:
    (image,) = noise(1)
    grey = Image.fromarray(image).convert("L")
    indexed = Image.fromarray(image).quantize(200)
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    grey.save(tmp_path / "1.png")
    indexed.save(tmp_path / "2.png")
    Image.fromarray(opaque).save(tmp_path / "3.png")
    video = read_video(tmp_path)
    assert torch.equal(video.frames[0], pixels(np.dstack([np.asarray(grey)] * 3)))
    assert torch.equal(video.frames[1], pixels(np.asarray(indexed.convert("RGB"))))
    assert torch.equal(video.frames[2], pixels(image))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    (image,) = noise(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: rotate clockwise by 90 degrees
    Image.fromarray(image).save(tmp_path / "1.png", exif=exif)
    assert torch.equal(read_video(tmp_path).frames[0], pixels(np.rot90(image, -1)))


def test_16_bit_samples_keep_their_high_byte_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (16, 16), np.uint16)
    for name in ("1.png", "2.tif"):
        Image.fromarray(deep).save(tmp_path / name)
    video = read_video(tmp_path)
    assert torch.equal(video.frames, pixels(np.dstack([deep >> 8] * 3).astype(np.uint8)).expand(2, 3, 16, 16))
    assert len(caplog.records) == 1
    assert "2 frames, first 1.png, have 16 bits per sample" in caplog.text


def assert_error(folder: Path, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        read_video(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_frames_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert_error(tmp_path, "holds no frames")


def test_frames_of_two_sizes_are_an_error_that_names_both(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png")
    Image.new("RGB", (8, 4)).save(tmp_path / "10.png")
    assert_error(tmp_path, r"two sizes: 1\.png is 48x32, 10\.png is 8x4")


def test_two_frames_with_the_same_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.jpg", "2.png")
    assert_error(tmp_path, r"2\.jpg and 2\.png")


@pytest.mark.parametrize("content", [b"", b"junk" * 99])
def test_a_frame_that_is_not_an_image_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").write_bytes(content)
    assert_error(tmp_path, r"2\.png cannot be read as an image")


@pytest.mark.parametrize("name", ["1.png", "1.jpg", "1.tif"])
def test_a_truncated_frame_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    save(tmp_path, name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert_error(tmp_path, f"{name} cannot be read as an image")


def test_transparent_and_32_bit_frames_are_errors(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (9, 9, 9, 254)).save(tmp_path / "1.png")
    assert_error(tmp_path, r"1\.png has transparent pixels")
    (tmp_path / "1.png").unlink()
    Image.new("F", (4, 4)).save(tmp_path / "1.tif")
    assert_error(tmp_path, r"1\.tif has 32-bit samples")
