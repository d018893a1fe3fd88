"""Tests of cropping by the container, alpha and deinterlacing."""

import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.runtime.errors import UserError
from dcvsr.video.decoder import header_shape
from dcvsr.video.io import read_video
from dcvsr.video.reader import open_frames
from tests.data.making import make_video, noise

COLOUR_TAGS = {"colorspace": 6, "color_range": 1, "color_primaries": 6, "color_trc": 6}


def barred(size: int = 48) -> np.ndarray:
    """Return a red picture with black bars of 8 lines above and below."""
    image = np.zeros((size, size, 3), np.uint8)
    image[8:-8, :, 0] = 255
    return image


def cropped_matroska(path: Path) -> Path:
    """Write a file whose header cuts 8 lines off above and below, in place of its colour tags."""
    data = bytearray(make_video(path, [barred()] * 2, tags=COLOUR_TAGS).read_bytes())
    start = data.find(b"\x55\xb0")  # the element Colour
    size = 3 + (data[start + 2] & 0x7F)
    crop = b"\x54\xbb\x81\x08\x54\xaa\x81\x08"
    void = size - len(crop) - 2
    data[start : start + size] = crop + b"\xec" + bytes([0x80 | void]) + bytes(void)
    path.write_bytes(data)
    return path


def cropped_mp4(path: Path) -> Path:
    """Write a file whose box ``clap`` keeps the middle 48x32 pixels."""
    data = bytearray(make_video(path, [barred()] * 2).read_bytes())
    clap = struct.pack(">I4s8i", 40, b"clap", 48, 1, 32, 1, 0, 1, 0, 1)
    boxes = [data.rfind(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")]
    end = boxes[-1] + int.from_bytes(data[boxes[-1] : boxes[-1] + 4])
    assert boxes[0] > data.find(b"mdat")  # so that the places of samples stay
    for box in boxes:
        data[box : box + 4] = (int.from_bytes(data[box : box + 4]) + len(clap)).to_bytes(4)
    data[end:end] = clap
    path.write_bytes(data)
    return path


def interlaced(path: Path) -> Path:
    """Write four frames, bottom field first, in which a bar moves from field to field."""
    images = [np.full((64, 64, 3), 40, np.uint8) for _ in range(4)]
    for number in range(8):
        images[number // 2][1 - number % 2 :: 2, 4 + 6 * number : 12 + 6 * number] = 220
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", 25, {"x264-params": "bff=1", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode())
    return path


def transparent(path: Path, codec: str, pixel_format: str) -> Path:
    """Write three frames whose left half is transparent."""
    image = np.zeros((32, 48, 4), np.uint8)
    image[..., 0], image[:, 24:, 3] = 200, 255
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, 25, {"auto-alt-ref": "0"} if codec == "libvpx-vp9" else {})
        stream.width, stream.height, stream.pix_fmt = 48, 32, pixel_format
        stream.metadata["alpha_mode"] = "1"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgba").reformat(format=pixel_format)))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("make", [cropped_matroska, cropped_mp4])
def test_the_container_crops_the_picture(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / ("a.mkv" if make is cropped_matroska else "a.mp4"))
    frames = read_video(path).frames
    assert frames.shape == (2, 3, 32, 48)
    assert header_shape(path)[1:] == (32, 48)
    assert frames[:, 0].min() > 190  # chroma of the border's lines is mixed with that of the bars
    assert frames[:, 0, 2:-2].min() > 240


def test_a_title_that_reads_like_cropping_does_not_crop(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", noise(1), title="x\n    Side data:\n      Frame Cropping: 0/0/8/8")
    assert read_video(path).frames.shape == (1, 3, 32, 48)


def test_interlaced_video_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = interlaced(tmp_path / "a.mkv")
    with caplog.at_level(logging.WARNING):
        read_video(path)
    [warning] = [record.getMessage() for record in caplog.records]
    assert "interlaced" in warning
    assert "deinterlace=bwdif" in warning


def test_bwdif_keeps_frames_and_times_and_removes_combs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = interlaced(tmp_path / "a.mkv")
    before = read_video(path)
    caplog.clear()
    with open_frames(path, deinterlace="bwdif") as reader:
        frames = torch.stack(list(reader))
    assert not caplog.records
    assert frames.shape == before.frames.shape
    assert reader.metadata.pts == before.pts

    def combs(video: torch.Tensor) -> float:
        return video.float().diff(dim=2).abs().mean().item()

    assert combs(frames) < combs(before.frames) / 4
    assert torch.equal(frames[:, :, 1::2], before.frames[:, :, 1::2])  # the first field stays


def test_bwdif_is_refused_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder of frames"), open_frames(tmp_path, deinterlace="bwdif"):
        pass


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mov", "png", "rgba"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.gif", "gif", "pal8"),
    ],
)
def test_transparent_video_is_refused_or_read_with_alpha(
    tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    path = tmp_path / name
    if codec == "gif":
        image = np.zeros((32, 48, 4), np.uint8)
        image[..., 0], image[:, 24:, 3] = 200, 255
        frames = [Image.fromarray(np.roll(image, shift, 0)) for shift in range(3)]
        frames[0].save(path, save_all=True, append_images=frames[1:], disposal=2)
    else:
        transparent(path, codec, pixel_format)
    with pytest.raises(UserError, match="alpha=bicubic"):
        read_video(path)
    with open_frames(path, alpha="bicubic") as reader:
        assert reader.channels == 4
        frame = next(iter(reader))
    assert frame.shape == (4, 32, 48)
    assert (frame[3, :, :20].max(), frame[3, :, 28:].min()) == (0, 255)
    with open_frames(path, alpha="ignore") as reader:
        assert next(iter(reader)).shape == (3, 32, 48)


def test_opaque_video_with_an_alpha_channel_is_read(tmp_path: Path) -> None:
    images = [av.VideoFrame.from_ndarray(np.full((16, 16, 4), 255, np.uint8), "rgba")]
    path = make_video(tmp_path / "a.mov", images, "png", "rgba")
    assert read_video(path).frames.min() == 255


def test_frames_of_a_folder_are_read_with_alpha(tmp_path: Path) -> None:
    image = np.full((8, 8, 4), 255, np.uint8)
    image[:4, :, 3] = 7
    Image.fromarray(image).save(tmp_path / "1.png")
    Image.fromarray(image[..., :3]).save(tmp_path / "2.png")
    with open_frames(tmp_path, alpha="bicubic") as reader:
        first, second = reader
    assert first[3, 0, 0] == 7
    assert second[3].min() == 255
