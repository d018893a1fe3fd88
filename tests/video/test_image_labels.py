"""Tests of warnings of what images have beside pixels, and of none for ordinary images."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from PIL import Image, PngImagePlugin

from dcvsr.video.io import read_video
from tests.data.making import noise

IMAGE = Image.fromarray(noise(1)[0])


def photograph(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0131], exif[0x0112] = "Maker", "Software", 6
    exif.get_ifd(0x8825)[1] = "N"
    IMAGE.save(path.with_suffix(".jpg"), exif=exif, comment=b"hello")


def texts(path: Path) -> None:
    chunks = png({b"tEXt": b"Software\0GIMP"})
    chunks.add_itxt("XML:com.adobe.xmp", "<x/>")
    chunks.add(b"tEXt", b"date:create\0" + bytes(1000), after_idat=True)
    IMAGE.save(path.with_suffix(".png"), pnginfo=chunks)


def described(path: Path) -> None:
    IMAGE.save(path.with_suffix(".tif"), description="scene 1")


def hdr(path: Path) -> None:
    IMAGE.save(path.with_suffix(".png"), pnginfo=png({b"cICP": bytes([9, 16, 0, 1])}))


def linear(path: Path) -> None:
    IMAGE.save(path.with_suffix(".png"), pnginfo=png({b"gAMA": (100000).to_bytes(4)}))


def anamorphic(path: Path) -> None:
    IMAGE.save(path.with_suffix(".jpg"), dpi=(72, 81))


def upright(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0131], exif[0x0112], exif[0x011A] = "Software", 1, 72
    IMAGE.save(path.with_suffix(".jpg"), exif=exif, dpi=(72, 72))


def srgb(path: Path) -> None:
    chunks = png({b"gAMA": (45455).to_bytes(4), b"cICP": bytes([1, 13, 0, 1]), b"tEXt": b"Software\0GIMP"})
    IMAGE.save(path.with_suffix(".png"), pnginfo=chunks, dpi=(96, 96))


def overruled(path: Path) -> None:
    IMAGE.save(path.with_suffix(".png"), pnginfo=png({b"gAMA": (100000).to_bytes(4), b"sRGB": b"\0"}))


def scan(path: Path) -> None:
    IMAGE.save(path.with_suffix(".tif"))


def png(chunks: dict[bytes, bytes]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for kind, data in chunks.items():
        info.add(kind, data)
    return info


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (photograph, "have EXIF or text (Make, GPS, comment); left out"),
        (texts, "have EXIF or text (XMP, date:create); left out"),
        (described, "have EXIF or text (ImageDescription); left out"),
        (hdr, "have colour tags of PNG (cICP, gAMA) other than sRGB; left out"),
        (linear, "have colour tags of PNG (cICP, gAMA) other than sRGB; left out"),
        (anamorphic, "have pixels that are not square; taken as square"),
        *((make, None) for make in (upright, srgb, overruled, scan)),
    ],
)
def test_one_warning_names_what_frames_have_beside_pixels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], text: str | None
) -> None:
    make(tmp_path / "1")
    make(tmp_path / "2")
    first = min(tmp_path.iterdir()).name
    read_video(tmp_path)
    assert caplog.messages == ([f"{tmp_path}: 2 frames, first {first}, {text}"] if text else [])


@pytest.mark.parametrize(("codec", "suffix"), [("png", "png"), ("mjpeg", "jpg")])
@pytest.mark.parametrize(("aspect", "count"), [(Fraction(1), 0), (Fraction(16, 11), 1)])
def test_frames_that_ffmpeg_wrote_are_warned_of_for_their_pixel_aspect_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, suffix: str, aspect: Fraction, count: int
) -> None:
    encoder: Any = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.time_base = 48, 32, Fraction(1, 25)
    encoder.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
    encoder.sample_aspect_ratio, encoder.color_primaries, encoder.color_trc = aspect, 1, 1
    frame = av.VideoFrame.from_image(IMAGE).reformat(format=encoder.pix_fmt)
    (tmp_path / f"1.{suffix}").write_bytes(b"".join(map(bytes, encoder.encode(frame))))
    read_video(tmp_path)
    assert ["not square" in message for message in caplog.messages] == [True] * count


def test_other_files_of_a_folder_of_frames_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("1.png", "3.png", "2.gif"):
        IMAGE.save(tmp_path / name)
    for name in (".hidden", "manifest.json", "notes.txt"):
        (tmp_path / name).touch()
    assert len(read_video(tmp_path).frames) == 2
    assert caplog.messages == [f"{tmp_path}: not frames, and skipped: 2.gif, notes.txt"]
