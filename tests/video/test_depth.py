"""Tests of depth and colour: gray ramps and colour bars of 8 to 16 bits, HDR, ICC profiles, 16-bit images."""

import itertools
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import write_video
from dcvsr.video.memory import Metadata
from dcvsr.video.reader import open_frames
from tests.data.making import make_video, noise

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
WIDTH, ROWS = 1024, 16


def ramp_and_bars() -> np.ndarray:
    """Return float RGB, ``h w c``: a gray ramp above colour bars of 100 % and 75 %."""
    rgb = np.zeros((ROWS, WIDTH, 3))
    rgb[:8] = np.linspace(0, 1, WIDTH)[None, :, None]
    for number, bar in enumerate(itertools.product((1.0, 0.0), repeat=3)):
        place = slice(number * WIDTH // 8, (number + 1) * WIDTH // 8)
        rgb[8:12, place], rgb[12:, place] = bar, 0.75 * np.array(bar)
    return rgb


def coded(rgb: np.ndarray, bits: int, matrix: int, full: bool) -> list[np.ndarray]:
    """Return the levels of Y, U and V by the equations of ITU-R BT.601, BT.709 and BT.2020."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = np.moveaxis(rgb, -1, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    scale, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        planes = top * y, top * u + 128 * scale, top * v + 128 * scale
    else:
        planes = (219 * y + 16) * scale, (224 * u + 128) * scale, (224 * v + 128) * scale
    return [plane.round().clip(0, top).astype("<u2") for plane in planes]


def as_frame(planes: list[np.ndarray], pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, ROWS, pixel_format)
    size = 1 if pixel_format == "yuv444p" else 2
    for plane, levels in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : size * WIDTH] = levels.astype("u1" if size == 1 else "<u2").view(np.uint8)
        plane.update(rows.tobytes())
    return frame


def levels_of(path: Path) -> tuple[list[np.ndarray], av.VideoFrame]:
    """Return the planes of the first frame, and the frame."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    size = 1 if max(component.bits for component in frame.format.components) == 8 else 2
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        found.append(rows[:, : size * plane.width].copy().view("u1" if size == 1 else "<u2").astype(int))
    return found, frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_ramp_and_bars_come_through_within_one_level(
    tmp_path: Path, bits: int, matrix: int, full: bool
) -> None:
    pixel_format = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    planes = coded(ramp_and_bars(), bits, matrix, full)
    tags = {"colorspace": matrix, "color_range": 1 + full, "color_primaries": matrix, "color_trc": matrix}
    path = make_video(
        tmp_path / "a.mkv", [as_frame(planes, pixel_format)], "ffv1", pixel_format, tags={**tags, "level": 3}
    )
    with open_frames(path, deep=True) as reader:
        frames = to_unit(torch.stack(list(reader)))
    assert reader.bits == bits
    error = (frames[0] - torch.from_numpy(ramp_and_bars()).permute(2, 0, 1)).abs().max()
    assert error * (2**bits - 1) <= (2 if full else 2.4)  # of rounded Y, U and V
    write_video(tmp_path / "b.mkv", frames, reader.metadata, codec="ffv1")
    found, frame = levels_of(tmp_path / "b.mkv")
    assert frame.format.name == pixel_format
    assert (frame.colorspace, frame.color_range) == (matrix, 1 + full)
    assert (frame.color_primaries, frame.color_trc) == (matrix, matrix)
    for before, after in zip(planes, found, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 1


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_kept_with_a_warning_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, transfer: int, name: str
) -> None:
    planes = coded(ramp_and_bars(), 10, 9, full=False)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": transfer}
    path = make_video(tmp_path / "a.mkv", [as_frame(planes, "yuv444p10le")], "ffv1", "yuv444p10le", tags=tags)
    with open_frames(path, deep=True) as reader:
        frames = to_unit(torch.stack(list(reader)))
    assert f"HDR ({name})" in caplog.text
    write_video(tmp_path / "b.mp4", frames, reader.metadata)
    _, frame = levels_of(tmp_path / "b.mp4")
    assert (frame.format.name, frame.color_trc, frame.color_primaries) == ("yuv420p10le", transfer, 9)
    with pytest.raises(UserError, match=f"HDR \\({name}\\)"), open_frames(path, hdr="refuse"):
        pass


def test_tags_of_rgb_video_are_kept(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv", noise(2), "ffv1", "bgr0", tags={"color_primaries": 9, "color_trc": 16}
    )
    with open_frames(path) as reader:
        frames = to_unit(torch.stack(list(reader)))
    write_video(tmp_path / "b.mp4", frames, reader.metadata)
    _, frame = levels_of(tmp_path / "b.mp4")
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (9, 9, 16)


def test_a_matrix_that_swscale_lacks_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video(tmp_path / "a.mkv", noise(1), tags={"colorspace": 8})
    with caplog.at_level(logging.WARNING), open_frames(path) as reader:
        list(reader)
    assert "YCgCo" in caplog.text


def test_gray_of_10_bits_is_read_exactly(tmp_path: Path) -> None:
    gray = np.arange(1024, dtype="<u2").reshape(16, 64)
    frame = av.VideoFrame(64, 16, "gray10le")
    rows = np.zeros((16, frame.planes[0].line_size), np.uint8)
    rows[:, :128] = gray.view(np.uint8)
    frame.planes[0].update(rows.tobytes())
    with open_frames(make_video(tmp_path / "a.mkv", [frame], "ffv1", "gray10le"), deep=True) as reader:
        (image,) = reader
    assert (to_unit(image)[0].numpy() * 1023 - gray).max() < 0.01


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_16_bits_come_through_exactly(tmp_path: Path, suffix: str) -> None:
    images = np.random.default_rng(0).integers(0, 65536, (2, 8, 12, 4), np.uint16)
    images[..., 3] = 65535
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        codec = av.CodecContext.create(suffix, "w")
        frame = av.VideoFrame.from_ndarray(image, "rgba64le")
        kind = "rgba64be" if suffix == "png" else "rgba64le"
        codec.width, codec.height, codec.pix_fmt, codec.time_base = 12, 8, kind, Fraction(1, 25)
        data = b"".join(bytes(p) for p in [*codec.encode(frame.reformat(format=kind)), *codec.encode()])
        (tmp_path / "in" / f"{number}.{suffix}").write_bytes(data)
    with open_frames(tmp_path / "in", deep=True) as reader:
        frames = torch.stack(list(reader))
    assert np.array_equal(frames.numpy(), images[..., :3].transpose(0, 3, 1, 2))
    write_video(tmp_path / "out", to_unit(frames), reader.metadata)
    with open_frames(tmp_path / "out", deep=True) as again:
        assert torch.equal(torch.stack(list(again)), frames)


def test_16_bit_images_are_turned_by_exif(tmp_path: Path) -> None:
    from dcvsr.video.frame_folder import read_frame

    gray = np.random.default_rng(0).integers(0, 65536, (6, 8), np.uint16)
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.png"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(gray).save(path, exif=exif)
        deep, shallow = read_frame(path, deep=True).numpy(), read_frame(path).numpy()
        assert np.array_equal(deep >> 8, shallow)


def test_icc_profile_of_frames_is_kept_in_pngs_and_warned_of_in_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(1)[0]).save(tmp_path / "in" / "1.png", icc_profile=profile)
    with open_frames(tmp_path / "in") as reader:
        frames = to_unit(torch.stack(list(reader)))
    for pix_fmt in ("rgb24", "rgb48be"):
        write_video(tmp_path / pix_fmt, frames, reader.metadata, pix_fmt=pix_fmt)
        assert Image.open(tmp_path / pix_fmt / "1.png").info["icc_profile"] == profile
    assert not caplog.records
    write_video(tmp_path / "b.mp4", frames, reader.metadata)
    assert "ICC profile" in caplog.text


def test_pages_and_missing_numbers_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = [Image.fromarray(image) for image in noise(3)]
    for number in (7, 8, 10, 14):
        pages[0].save(tmp_path / f"f{number}.tiff", save_all=True, append_images=pages[1:])
    with open_frames(tmp_path) as reader:
        list(reader)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert "4 frames, first f7.tiff, have further pages" in warnings[0]
    assert "4 frame numbers are missing, first after f8.tiff" in warnings[1]


def test_frames_numbered_in_steps_have_no_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 10, 20):
        Image.fromarray(noise(1)[0]).save(tmp_path / f"{number:04d}.png")
    with open_frames(tmp_path) as reader:
        list(reader)
    assert not caplog.records


def test_8_bit_frames_in_16_bit_output_are_not_rounded_to_8(tmp_path: Path) -> None:
    frames = torch.linspace(0, 1, 1000).expand(1, 3, 8, 1000)
    write_video(tmp_path / "a", frames, Metadata(Fraction(25)), pix_fmt="rgb48be")
    with open_frames(tmp_path / "a", deep=True) as reader:
        (image,) = reader
    assert (to_unit(image) - frames[0]).abs().max() < 1e-5
