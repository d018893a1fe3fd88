"""An LR set: made alike by everyone, gone on with where it was stopped, and never quietly another."""

import gc
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from torch.nn.functional import interpolate

import dcvsr.degrade.building  # noqa: F401  a child would import it
from dcvsr.degrade.lr_folder import locked
from dcvsr.metrics.fidelity import PSNR
from tests.conftest import Finished, Run
from tests.data.making import make_video
from tests.degradation.making import configured
from tests.degrade.making import (
    SIZES,
    copy_folder,
    digest_by_docstring,
    files,
    images,
    make_hr,
    write_png,
    write_times,
)
from tests.forking import call, forked

HALTING = """
import time
from pathlib import Path
from dcvsr.degrade.__main__ import main
from dcvsr.degrade import building

to_bytes = building.to_bytes

def halting(frame):
    while Path("lr/.b.part/3.png").exists():
        time.sleep(0.01)
    return to_bytes(frame)

building.to_bytes = halting
if __name__ == "__main__":
    main()
"""
"""`dcvsr.degrade`, whose worker makes four frames of clip ``b`` and then waits until it is killed."""


@pytest.fixture(scope="module")
def hr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hr(tmp_path_factory.mktemp("set") / "hr")


@pytest.fixture(scope="module")
def lr(hr: Path) -> Path:
    """The LR set of `hr` as two workers of another process make it."""
    folder = hr.with_name("lr")
    usual = ("-m", "dcvsr.degrade", "metrics=fidelity")
    done = forked([*usual, f"input={hr}", f"output={folder}", "workers=2"], hr.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def degrade(run: Run, hr: Path) -> Run:
    """Degrade `hr`, unless another input is given."""

    def invoke(*arguments: str) -> Finished:
        if arguments[0] in ("verify", "preview"):
            return run("degrade", arguments[0], f"input={hr}", *arguments[1:])
        return run("degrade", f"input={hr}", "metrics=fidelity", *arguments)

    return invoke


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def refused(done: Finished, *said: str) -> bool:
    """By one line on stderr that says all this."""
    return (done.code, done.err.count("\n")) == (2, 1) and all(text in done.err for text in said)


def until(happened: Callable[[], Any]) -> None:
    """Wait for it as long as a busy machine needs; the limit on a test ends what never happens."""
    while not happened():
        time.sleep(0.01)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or before it was read
        return False


def test_the_set_is_the_same_in_another_process_and_from_any_number_of_them(
    degrade: Run, lr: Path, tmp_path: Path
) -> None:
    """One worker's are compared where it is killed."""
    done = degrade("output=lr")
    assert (done.code, done.err) == (0, "")
    assert files(tmp_path / "lr") == files(lr)


def test_the_manifest_tells_what_each_clip_was_made_from_and_how(hr: Path, lr: Path) -> None:
    told = manifest(lr)
    assert (told["seed"], told["degradation"], told["metrics"]) == (0, "realbasicvsr", ["psnr", "ssim"])
    assert told["versions"].keys() >= {"torch", "libx264", "libjpeg", "processor"}
    assert told["clips"].keys() == SIZES.keys()
    for name, clip in told["clips"].items():
        frames, height, width = SIZES[name]
        assert clip["source"] == ("a.mp4" if name == "a" else name)
        assert (clip["frames"], clip["size"]) == (frames, [width, height])
        assert clip["lr_size"] == [width // 4, height // 4]
        assert {path.stem for path in (lr / name).iterdir()} == (
            {f"{frame:08d}" for frame in range(frames)}
            if name == "a"
            else {path.stem for path in (hr / name).iterdir()}
        )


def test_anyone_can_compute_the_digests(hr: Path, lr: Path) -> None:
    for name, clip in manifest(lr)["clips"].items():
        assert clip["lr_sha256"] == digest_by_docstring(lr / name)
        if name != "a":
            assert clip["hr_sha256"] == digest_by_docstring(hr / name)


def test_the_parameters_in_the_manifest_make_the_frames(hr: Path, lr: Path) -> None:
    hr_frames, lr_frames = (
        rearrange(
            torch.tensor(
                np.stack([np.asarray(Image.open(folder / "c" / f"{frame}.png")) for frame in (1, 2)])
            ),
            "f h w c -> f c h w",
        )
        for folder in (hr, lr)
    )
    made = configured("realbasicvsr").apply(manifest(lr)["clips"]["c"]["parameters"], hr_frames / 255)
    assert torch.equal((made * 255).round().byte(), lr_frames)


def test_the_fingerprint_is_bicubic_s_score(run: Run, hr: Path, lr: Path, tmp_path: Path) -> None:
    done = run("degrade", f"input={hr}", "output=lr", "exclude=[a]")
    assert done.code == 0, done.err
    told = manifest(tmp_path / "lr")
    for metric in ("psnr", "ssim", "lpips"):
        scores = [clip["fingerprint"][metric] for clip in told["clips"].values()]
        assert told["fingerprint"][metric] == pytest.approx(sum(scores) / 2)
        assert f"{metric} {told['fingerprint'][metric]:.4f}" in done.out
    for name, clip in told["clips"].items():
        scores = []
        for path in (hr / name).iterdir():
            small, truth = (
                np.asarray(Image.open(folder / name / path.name), np.float64) for folder in (lr, hr)
            )
            large = interpolate(torch.tensor(small).permute(2, 0, 1)[None], scale_factor=4, mode="bicubic")
            large = large[0].permute(1, 2, 0).clamp(0, 255).round().numpy()
            scores.append(10 * np.log10(255**2 / np.square(large - truth).mean()))
        assert clip["fingerprint"]["psnr"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_a_clip_does_not_depend_on_the_others(degrade: Run, lr: Path, tmp_path: Path) -> None:
    assert degrade("output=lr", "include=[c]").code == 0
    assert files(tmp_path / "lr/c") == files(lr / "c")
    assert not (tmp_path / "lr/a").exists()
    assert degrade("output=lr", "exclude=[c]").code == 0
    assert files(tmp_path / "lr") == files(lr)


def test_another_seed_is_another_set(degrade: Run, lr: Path, tmp_path: Path) -> None:
    assert degrade("output=lr", "seed=1").code == 0
    here, there = (manifest(folder)["clips"] for folder in (tmp_path / "lr", lr))
    assert all(here[name]["lr_sha256"] != there[name]["lr_sha256"] for name in SIZES)


def test_clips_may_have_any_name(degrade: Run, tmp_path: Path) -> None:
    names = {"a, b (1)", "été", "[x]{y}", "it's", "100%", "-x", "240", "${z}", "雪", "a.b"}
    for name in names:
        write_png(tmp_path / "hr, (1)" / name, images(1, 16, 16))
    usual = "input=hr, (1)", "output=lr's"
    for arguments in (
        usual,
        ("verify", *usual),
        ("preview", *usual),
        (*usual, "manifest=lr's/manifest.json"),
    ):
        done = degrade(*arguments)
        assert (done.code, done.err) == (0, ""), done.err
    assert manifest(tmp_path / "lr's")["clips"].keys() == names


@pytest.mark.parametrize(("name", "hydra"), [("240", "240"), ("a, b", "'a, b'"), ("000", "000")])
def test_a_clip_can_be_chosen_by_any_name(degrade: Run, tmp_path: Path, name: str, hydra: str) -> None:
    for clip in (name, "other"):
        write_png(tmp_path / "hr" / clip, images(1, 16, 16))
    assert degrade("input=hr", "output=lr", f"include=[{hydra}]").code == 0
    assert set(manifest(tmp_path / "lr")["clips"]) == {name}
    assert degrade("input=hr", "output=rest", f"exclude=[{hydra}]").code == 0
    assert set(manifest(tmp_path / "rest")["clips"]) == {"other"}


@pytest.mark.parametrize("clip", ["a.mp4", "b"])
def test_one_clip_alone_is_a_set(degrade: Run, hr: Path, lr: Path, tmp_path: Path, clip: str) -> None:
    assert degrade(f"input={hr / clip}", "output=lr").code == 0
    assert files(tmp_path / "lr" / clip[0]) == files(lr / clip[0])


def test_what_was_recorded_is_replayed(degrade: Run, lr: Path, tmp_path: Path) -> None:
    done = degrade("output=replayed", f"manifest={lr / 'manifest.json'}", "seed=7")
    assert done.code == 0, done.err
    assert "3 of 3 clips are identical" in done.out
    assert files(tmp_path / "replayed") == files(lr)


def test_what_was_drawn_and_never_made_can_be_replayed(degrade: Run, lr: Path, tmp_path: Path) -> None:
    drawn = manifest(lr) | {"metrics": [], "versions": {}}
    for clip in drawn["clips"].values():
        clip.update(hr_sha256=None, lr_sha256=None, fingerprint={})
    (tmp_path / "drawn.json").write_text(json.dumps(drawn))
    done = degrade("output=replayed", "manifest=drawn.json", "exclude=[b]")
    assert done.code == 0, done.err
    assert "identical" not in done.out
    assert files(tmp_path / "replayed/a") == files(lr / "a")
    assert set(manifest(tmp_path / "replayed")["clips"]) == {"a", "c"}


def test_a_replay_of_other_video_says_so(degrade: Run, hr: Path, lr: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy_folder(hr, tmp_path / "other") / "c")
    frames, height, width = SIZES["c"]
    write_png(tmp_path / "other/c", images(frames, height, width, seed=9))
    done = degrade("input=other", "output=replayed", f"manifest={lr / 'manifest.json'}")
    assert done.code == 0
    assert "c: HR differs from the manifest\n" in done.out
    assert "2 of 3 clips are identical" in done.out


def test_a_replay_of_another_size_is_refused(degrade: Run, hr: Path, lr: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy_folder(hr, tmp_path / "other") / "c")
    write_png(tmp_path / "other/c", images(2, 48, 36))
    done = degrade("input=other", "output=replayed", f"manifest={lr / 'manifest.json'}", "include=[c]")
    assert refused(done, "clip c with 2 frames of 32x48", "HR has 2 frames of 36x48", "give the same HR")
    assert not files(tmp_path / "replayed")


def _without_a_clip(lr: Path) -> None:
    shutil.rmtree(lr / "c")


def _without_a_frame(lr: Path) -> None:
    (lr / "c" / "1.png").unlink()


def _with_half_a_clip(lr: Path) -> None:
    (lr / "c").rename(lr / ".c.part")
    (lr / ".c.part" / "2.png").write_bytes(b"half")


def _without_the_last_clip_in_the_manifest(lr: Path) -> None:
    told = manifest(lr)
    del told["clips"]["c"]
    (lr / "manifest.json").write_text(json.dumps(told))
    (lr / "c").rename(lr / ".c.part")
    (lr / "manifest.json.123.part").write_text("half")


@pytest.mark.parametrize(
    "stopped",
    [_without_a_clip, _without_a_frame, _with_half_a_clip, _without_the_last_clip_in_the_manifest],
)
def test_a_set_goes_on_where_it_was_stopped(
    degrade: Run, lr: Path, tmp_path: Path, stopped: Callable[[Path], None]
) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    stopped(here)
    before = {name: write_times(here / name) for name in "ab"}
    done = degrade("output=lr")
    assert done.code == 0, done.err
    assert "2 of 3 clips are there already" in done.out
    assert {name: write_times(here / name) for name in "ab"} == before
    (here / "manifest.json.123.part").unlink(missing_ok=True)
    assert files(here) == files(lr)


def test_what_write_whole_left_when_it_was_killed_is_no_stranger(degrade: Run, tmp_path: Path) -> None:
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr/manifest.json.123.part").write_text("half")
    assert degrade("output=lr", "include=[c]").code == 0


def test_a_whole_set_is_left_as_it_is(degrade: Run, lr: Path, tmp_path: Path) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    before = {name: write_times(here / name) for name in SIZES}
    done = degrade("output=lr")
    assert "3 of 3 clips are there already" in done.out
    assert {name: write_times(here / name) for name in SIZES} == before
    assert files(here) == files(lr)


def test_a_killed_run_leaves_a_set_that_goes_on(degrade: Run, tmp_path: Path) -> None:
    write_png(tmp_path / "hr/a", images(2, 16, 16))
    write_png(tmp_path / "hr/b", images(8, 16, 16))
    (tmp_path / "halting.py").write_text(HALTING)
    usual = ("input=hr", "output=lr", "degradation=bicubic", "metrics=none")
    halting = [str(tmp_path / "halting.py"), *usual, "workers=1"]
    gc.collect()  # else a fork would free a decoder of this process, and wait for its threads
    process = get_context("fork").Process(target=call, args=(halting, tmp_path))
    process.start()
    try:
        whole, halted = tmp_path / "lr/a", tmp_path / "lr/.b.part/3.png"
        until(lambda: not process.is_alive() or (whole.exists() and halted.exists()))
        workers = children(process.pid or 0)
    finally:
        process.kill()
        process.join()
    assert set(manifest(tmp_path / "lr")["clips"]) == {"a"}
    until(lambda: not any(map(is_running, workers)))
    before = write_times(tmp_path / "lr/a")
    done = degrade(*usual)
    assert "1 of 2 clips are there already" in done.out
    assert write_times(tmp_path / "lr/a") == before
    assert degrade(*usual, "output=at_once").code == 0
    assert files(tmp_path / "lr") == files(tmp_path / "at_once")


def test_an_interrupt_is_one_line_and_leaves_a_set_that_goes_on(
    degrade: Run, lr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        if (tmp_path / "lr/.b.part/3.png").exists():
            raise KeyboardInterrupt
        update(*arguments)

    update = PSNR.update
    with monkeypatch.context() as patch:
        patch.setattr(PSNR, "update", interrupted)
        done = degrade("output=lr")
    assert (done.code, done.err) == (130, "dcvsr: interrupted\n")
    assert {path.name for path in (tmp_path / "lr").iterdir()} == {"a", "manifest.json"}
    assert degrade("output=lr").code == 0
    assert files(tmp_path / "lr") == files(lr)


def test_what_is_as_it_was_made_is_identical(degrade: Run, hr: Path, lr: Path) -> None:
    before = files(hr.parent)
    done = degrade("verify", f"output={lr}")
    assert (done.code, done.err) == (0, "")
    assert "3 of 3 clips are identical" in done.out
    assert files(hr.parent) == before


def _brighten_a_pixel(hr: Path, lr: Path) -> None:
    with Image.open(lr / "c/2.png") as image:
        pixels = np.array(image)
    pixels[3, 4, 1] = pixels[3, 4, 1] + 5 if pixels[3, 4, 1] < 128 else pixels[3, 4, 1] - 5
    Image.fromarray(pixels).save(lr / "c/2.png")


def _lose_a_frame(hr: Path, lr: Path) -> None:
    (lr / "c/2.png").unlink()


def _break_a_frame(hr: Path, lr: Path) -> None:
    (lr / "c/2.png").write_bytes(b"no image")


def _add_a_frame(hr: Path, lr: Path) -> None:
    shutil.copy(lr / "c/2.png", lr / "c/3.png")


def _lose_a_clip(hr: Path, lr: Path) -> None:
    shutil.rmtree(lr / "c")


def _change_hr(hr: Path, lr: Path) -> None:
    shutil.rmtree(hr / "c")
    frames, height, width = SIZES["c"]
    write_png(hr / "c", images(frames, height, width, seed=9))


def _crop_hr(hr: Path, lr: Path) -> None:
    shutil.rmtree(hr / "c")
    write_png(hr / "c", images(2, 44, 32))


def _pretend(hr: Path, lr: Path) -> None:
    text = (lr / "manifest.json").read_text()
    digest = manifest(lr)["clips"]["c"]["lr_sha256"]
    (lr / "manifest.json").write_text(text.replace(digest, digest[::-1]))


@pytest.mark.parametrize(
    ("touch", "said"),
    [
        (
            _brighten_a_pixel,
            r"its files were changed: 2\.png, by up to 5 of 255 levels, 0\.52 % of the pixels",
        ),
        (_lose_a_frame, r"its files were changed: 2\.png, by up to 255 of 255 levels, 50 % of the pixels"),
        (_break_a_frame, r"its files were changed: 2\.png, by up to 255 of 255 levels, 50 % of the pixels"),
        (_add_a_frame, "its files were changed: no pixel differs"),
        (_lose_a_clip, r"its files were changed: 1\.png and 1 more, by up to 255 of 255 levels, 1e\+02 %"),
        (_change_hr, r"HR differs from the manifest; a rebuild differs: 1\.png and 1 more, by up to"),
        (_crop_hr, "HR has another length or size than in the manifest"),
        (_pretend, "its files were changed; a rebuild differs: no pixel differs"),
    ],
)
def test_what_was_touched_is_told_by_clip_and_levels(
    degrade: Run, hr: Path, lr: Path, tmp_path: Path, touch: Callable[[Path, Path], None], said: str
) -> None:
    touch(copy_folder(hr, tmp_path / "hr"), copy_folder(lr, tmp_path / "lr"))
    before = files(tmp_path / "lr")
    done = degrade("verify", "input=hr", "output=lr")
    assert (done.code, done.err) == (1, "dcvsr: lr was not rebuilt; software: the same\n")
    assert re.search(f"^c: {said}", done.out, re.MULTILINE), done.out
    assert "2 of 3 clips are identical" in done.out
    assert files(tmp_path / "lr") == before


def test_other_software_is_named_where_a_set_is_not_rebuilt(degrade: Run, lr: Path, tmp_path: Path) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    told = manifest(here)
    told["versions"]["torch"] = "1.0"
    (here / "manifest.json").write_text(json.dumps(told))
    assert degrade("verify", "output=lr").code == 0
    _brighten_a_pixel(here, here)
    done = degrade("verify", "output=lr")
    assert done.code == 1
    assert f"software: torch 1.0 in the manifest, {torch.__version__.partition('+')[0]}" in done.err


def test_a_set_is_not_gone_on_with_by_other_software(degrade: Run, lr: Path, tmp_path: Path) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    told = manifest(here)
    told["versions"]["torch"] = "1.0"
    (here / "manifest.json").write_text(json.dumps(told))
    assert degrade("output=lr").code == 0
    _without_a_clip(here)
    before = files(here)
    assert refused(
        degrade("output=lr"), "lr/manifest.json", "torch 1.0 in the manifest", "name another output"
    )
    assert files(here) == before


def test_a_clip_that_comes_out_otherwise_is_not_put_in_the_place_of_the_old(
    degrade: Run, hr: Path, lr: Path, tmp_path: Path
) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    _change_hr(copy_folder(hr, tmp_path / "hr"), here)
    _without_a_frame(here)
    before = files(here)
    done = degrade("input=hr", "output=lr")
    assert refused(done, "clip c was made again and differs from lr/manifest.json; use the original HR")
    assert files(here) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=1"], ["lr/manifest.json has seed=0, not 1", "name another output, or set that seed"]),
        (
            ["degradation.steps.noise1.gray=0.5"],
            ["steps.noise1.gray (0.4 in the manifest, 0.5 here)", "set them as"],
        ),
        (
            ["degradation=light"],
            ["lr/manifest.json has degradation=realbasicvsr", "usm ({...} in the manifest, null"],
        ),
        (["verify", "degradation=light"], ["has degradation=realbasicvsr"]),
        (["metrics=none"], ["has fingerprints by psnr, ssim, not by no metrics", "name another output"]),
        (["output=full"], ["full holds notes.txt but is not an LR set", "name another output"]),
        (["preview", "output=full"], ["full holds notes.txt but is not an LR set"]),
        (["output=full", "dry_run=true"], ["full holds notes.txt but is not an LR set"]),
        (["output=full/notes.txt"], ["full/notes.txt is not a folder; name another output"]),
        (["output=full/notes.txt/lr"], ["cannot make full/notes.txt/lr", "name another output"]),
        (["verify", "output=new"], ["new holds no LR set to verify"]),
        (["output=strange"], ["strange holds d, not listed in its manifest.json", "move them out"]),
        (["output=damaged"], ["damaged/manifest.json"]),
        (["input=none", "output=new"], ["none does not exist; name a video, a folder"]),
        (["input=empty", "output=new"], ["empty holds no clips"]),
        (["input=text.mp4", "output=new"], ["text.mp4 cannot be read as a video"]),
        (["input=cut.mp4", "output=new"], ["cut.mp4 cannot be read as a video", "pass a whole video file"]),
        (["input=odd", "output=new"], ["multiples of 4", "p (34x32), q (32x30)", "'exclude=[p,q]'"]),
        (["input=mixed", "output=new"], ["mixed/x holds frames of two sizes", "make them one"]),
        (["input=twice", "output=new"], ["twice/a and twice/a.mp4 have the same clip name; rename one"]),
        (["input=bytes", "output=new"], ["is not UTF-8, as manifest.json requires; rename it"]),
        (["include=[z]", "output=new"], ["hr has no clip z; it has a, b, c"]),
        (["exclude=[z]", "output=new"], ["hr has no clip z; it has a, b, c"]),
        (["exclude=[a,b,c]", "output=new"], ["no clip of", "hr is left; include more or exclude fewer"]),
        (["include=abc", "output=new"], ["include=abc is not a list or null; write 'include=[abc]'"]),
        (["exclude=240", "output=new"], ["exclude=240 is not a list; write 'exclude=[240]'"]),
        (["verify", "include=[z]"], ["lr/manifest.json has no clip z; it has a, b, c"]),
        (["verify", "input=odd"], ["odd has no clip a, b, c; it has p, q"]),
        (["include=[z]", "output=new", "manifest=lr/manifest.json"], ["lr/manifest.json has no clip z"]),
        (["output=new", "manifest=none.json"], ["cannot read none.json"]),
        (["output=new", "manifest=lr"], ["cannot read lr"]),
        (["output=new", "manifest=text.mp4"], ["text.mp4 is not JSON"]),
        (["output=new", "manifest=empty.json"], ["empty.json is not a manifest of an LR set"]),
        (["output=new", "manifest=lr/manifest.json", "degradation=light"], ["has degradation=realbasic"]),
        (["output=new", "degradation=none"], ["degradation=none does not make LR"]),
        (["output=new", "workers=-1"], ["workers=-1 is not a whole number of 0 or more"]),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    degrade: Run, hr: Path, lr: Path, tmp_path: Path, arguments: list[str], said: list[str]
) -> None:
    copy_folder(lr, tmp_path / "lr")
    for name in ("full", "strange/d", "damaged", "empty", "twice/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("full/notes.txt", "text.mp4"):
        (tmp_path / name).write_text("no video at all")
    for name in ("damaged/manifest.json", "empty.json"):
        (tmp_path / name).write_text("{}")
    shutil.copy(lr / "manifest.json", tmp_path / "strange")
    shutil.copy(hr / "a.mp4", tmp_path / "twice")
    (tmp_path / "cut.mp4").write_bytes((hr / "a.mp4").read_bytes()[:2000])
    write_png(tmp_path / "bytes" / os.fsdecode(b"\xff"), images(1, 32, 32))
    write_png(tmp_path / "odd/p", images(1, 32, 34))
    write_png(tmp_path / "odd/q", images(1, 30, 32))
    write_png(tmp_path / "mixed/x", [*images(1, 32, 32), *images(1, 32, 36)])
    before = files(tmp_path)
    command = [one for one in arguments if one in ("verify", "preview")]
    done = degrade(*command, "output=lr", *arguments[len(command) :])
    assert refused(done, *said), done.err
    shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
    assert files(tmp_path) == before


def test_a_set_that_another_process_writes_is_let_alone(degrade: Run, lr: Path, tmp_path: Path) -> None:
    here = copy_folder(lr, tmp_path / "lr")
    _without_a_clip(here)
    before = files(here)
    with locked(here):
        assert refused(degrade("output=lr"), "lr is being written by another process; wait for it")
    assert files(here) == before
    assert degrade("output=lr").code == 0


def test_what_is_found_broken_on_the_way_costs_no_clip_that_is_done(
    degrade: Run, hr: Path, lr: Path, tmp_path: Path
) -> None:
    broken = copy_folder(hr, tmp_path / "hr") / "b/5.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:60] + bytes(200) + whole[260:])
    done = degrade("input=hr", "output=lr")
    assert refused(done, "hr/b/5.png cannot be read as an image", "replace it or leave it out"), done.err
    assert files(tmp_path / "lr/a") == files(lr / "a")
    assert {path.name for path in (tmp_path / "lr").iterdir()} == {"a", "manifest.json"}
    broken.write_bytes(whole)
    assert degrade("input=hr", "output=lr").code == 0
    assert files(tmp_path / "lr") == files(lr)


def test_a_video_that_breaks_off_is_refused(degrade: Run, hr: Path, tmp_path: Path) -> None:
    """Its header promises nothing: only decoding finds out."""
    video = make_video(tmp_path / "v.avi", images(20, 32, 32), codec="mjpeg", pixel_format="yuvj420p")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert refused(degrade("input=v.avi", "output=lr"), "v.avi")
    assert not files(tmp_path / "lr")


def test_a_name_that_is_too_long_to_write_is_told_before_the_work(degrade: Run, tmp_path: Path) -> None:
    write_png(tmp_path / "hr" / ("x" * 252), images(1, 16, 16))
    assert refused(degrade("input=hr", "output=lr"), "the name xxx", "is too long for lr; rename the clip")
    assert not Path("lr").exists()


def test_a_set_that_does_not_fit_on_the_disk_is_refused_before_the_work(
    degrade: Run, lr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    done = degrade("output=new")
    assert refused(done, "new has 1.0 kB free, and the LR takes ", "free disk space, or name an output=")
    assert not (tmp_path / "new").exists()
    assert degrade(f"output={lr}").code == 0  # all of it is there


def test_a_dry_run_tells_and_writes_nothing(degrade: Run, tmp_path: Path) -> None:
    done = degrade("output=lr", "dry_run=true")
    assert done.code == 0
    assert "3 clips, 16 frames -> lr" in done.out
    assert not (tmp_path / "lr").exists()


@pytest.mark.parametrize("begun", [False, True])
def test_a_preview_writes_one_picture(degrade: Run, lr: Path, tmp_path: Path, begun: bool) -> None:
    if begun:
        copy_folder(lr, tmp_path / "lr")
    before = files(tmp_path / "lr")
    done = degrade("preview", "output=lr")
    assert (done.code, done.err) == (0, "")
    picture = Image.open(tmp_path / "lr/preview.png")
    assert min(picture.size) > 400
    assert files(tmp_path / "lr").keys() - before.keys() == {"preview.png"}
    (tmp_path / "lr/preview.png").unlink()
    assert files(tmp_path / "lr") == before


def test_a_preview_does_not_stand_in_the_way_of_the_set(degrade: Run, lr: Path, tmp_path: Path) -> None:
    assert degrade("preview", "output=lr").code == 0
    assert degrade("output=lr").code == 0
    (tmp_path / "lr/preview.png").unlink()
    assert files(tmp_path / "lr") == files(lr)


def test_any_factor_has_a_fingerprint(degrade: Run, tmp_path: Path) -> None:
    assert degrade("output=lr", "degradation.factor=2", "include=[c]").code == 0
    clip = manifest(tmp_path / "lr")["clips"]["c"]
    assert clip["lr_size"] == [16, 24]
    assert clip["fingerprint"]["psnr"] > 10


def test_without_metrics_a_set_is_not_scored(degrade: Run, tmp_path: Path) -> None:
    done = degrade("output=lr", "metrics=none", "include=[c]")
    assert "bicubic on it: not scored" in done.out
    assert "fingerprint" not in manifest(tmp_path / "lr")


@pytest.mark.parametrize("name", ["verify", "preview"])
def test_a_former_flag_names_the_command_to_type(run: Run, tmp_path: Path, name: str) -> None:
    done = run("degrade", "input=hr (1)", "output=lr", f"{name}=true")
    assert done.code == 2
    assert done.err == (
        f"dcvsr: {name}=true is a command of its own now: "
        f"python -m dcvsr.degrade {name} 'input=hr (1)' output=lr\n"
    )
    assert not files(tmp_path)


@pytest.mark.parametrize("name", ["verify", "preview"])
def test_a_subcommand_has_its_own_help(run: Run, name: str) -> None:
    done = run("degrade", name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"python -m dcvsr.degrade {name} input=hr/ output=lr/" in done.out
    assert "metrics" not in done.out, "the keys of another command"
