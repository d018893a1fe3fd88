"""The page: everything the runs left is in it, nothing outside it is needed, and what is in it stays text."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dcvsr.report import clip_differences
from dcvsr.report.__main__ import Content, gather, render, settings, texts
from dcvsr.report.clip_section import views
from dcvsr.report.curve import curves
from dcvsr.report.player import pair
from dcvsr.report.runs import runs_under
from dcvsr.report.scenes import scenes
from dcvsr.report.table import tables
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import write_whole
from dcvsr.video.io import Video, to_bytes, write_video
from tests.forking import forked

Run = Callable[..., Any]

LOOK = Path(__file__).parents[2] / "experiments" / "demo" / "look.py"
HOSTILE = """<script>alert("1")</script>' onload="alert(2)"""
DIFFERENCE = "0.3127 -0.0896 (too few clips: 1)"
LABELS = {"left_label": "bicubic", "right_label": "dcvsr"}


class Page(HTMLParser):
    """Parser of a page: tags, attributes, and the text of table cells by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = True
            self.rows[-1].append("")
        if tag == "strong" and self.cell:
            self.rows[-1][-1] += "*"

    def handle_endtag(self, tag: str) -> None:
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.cell:
            self.rows[-1][-1] = " ".join([*self.rows[-1][-1].split(), *data.split()]).replace("* ", "*")


def make_video(path: Path, frames: int = 8, gain: float = 1.0) -> Path:
    clip = gain * torch.rand(frames, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    write_video(path, clip, Video(to_bytes(clip), Fraction(25)), crf=20)
    return path


def make_evaluation(folder: Path, upscaler: str = "", **scores: float) -> Path:
    metrics = {
        name: {"mean": mean, "higher_is_better": name in ("psnr", "ssim")} for name, mean in scores.items()
    }
    (folder / "videos").mkdir(parents=True)
    summary = {
        "dataset": "packaged",
        "upscaler": upscaler or folder.name,
        "seed": 0,
        "metrics": metrics,
        "clips": {"carphone": scores},
        "cost": {"evaluations": 48, "seconds": 2.5},
        "overrides": [],
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def make_training(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 1234\n")
    lines = [f"0,{step},{1 / (step + 1)}," for step in range(50)] + ["0,49,,0.31"]
    (folder / "metrics.csv").write_text("\n".join(["epoch,step,train/loss,val/lpips", *lines]))
    return folder


def command(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return forked(["-m", "dcvsr.report", f"output={folder}/report.html", *overrides])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "out.json").write_text('{"tiles": 5678}')
    bicubic = make_evaluation(folder / "runs/bicubic", psnr=29.314, ssim=0.85, lpips=0.31271)
    dcvsr = make_evaluation(folder / "runs/dcvsr", psnr=28.02, ssim=0.84, lpips=0.2231)
    for run, gain in ((bicubic, 1.0), (dcvsr, 0.5)):
        make_video(run / "videos/carphone.mp4", gain=gain)
    done = command(
        folder,
        f"+pairs.clip.left={make_video(folder / 'left.mp4')}",
        f"+pairs.clip.right={make_video(folder / 'right.mp4', gain=0.5)}",
        "+pairs.clip.left_label=bicubic",
        "+pairs.clip.right_label=dcvsr",
        f"runs={folder}/runs",
        f"+trainings.stage1={make_training(folder / 'stage1')}",
        f"settings=[{folder / 'out.json'}]",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {folder / 'report.html'}"
    return folder / "report.html"


def test_the_table_has_every_metric_and_marks_the_best(page: Path) -> None:
    assert Page(page.read_text()).rows[:3] == [
        ["", "PSNR ↑", "SSIM ↑", "LPIPS ↓"],
        ["bicubic", "*29.31 -1.29 (too few clips: 1)", "*0.8500 -0.0100 (too few clips: 1)", DIFFERENCE],
        ["dcvsr", "28.02", "0.8400", "*0.2231"],
    ]


def test_the_tables_lie_beside_the_page_as_text(page: Path) -> None:
    markdown, latex, lines = (page.with_suffix(suffix).read_text() for suffix in (".md", ".tex", ".csv"))
    assert "| bicubic | **29.31** | **0.8500** | *0.3127* | 1 | 48 | 2 |" in markdown
    assert r"dcvsr & \underline{28.02}" in latex
    assert "packaged,dcvsr,LPIPS,0.2231,,,,1,1," in lines.splitlines()


def test_curves_and_settings_are_on_the_page(page: Path) -> None:
    shown = Page(page.read_text())
    assert shown.tags.count("svg") == 2
    for text in ("stage1: train/loss", "stage1: val/lpips", "seed: 1234", '"tiles": 5678'):
        assert text in shown.text


def test_the_page_needs_nothing_outside_itself(page: Path) -> None:
    text = page.read_text()
    sources = [
        value or "" for name, value in Page(text).attributes if name in ("src", "href", "srcset", "data")
    ]
    assert sum(source.startswith("data:video/mp4;base64,") for source in sources) == 2 + 2
    inside = ("data:video/mp4;base64,", "data:image/png;base64,", "#")
    assert all(source.startswith(inside) for source in sources)
    assert not [outside for outside in ("http:", "https:", "url(", "@import", "fetch(") if outside in text]


def test_scores_clip_by_clip_are_on_the_page_and_beside_it(page: Path) -> None:
    assert Page(page.read_text()).rows[3:6] == [
        ["", "bicubic"],
        ["carphone", "-1.29"],
        ["better on", "0 of 1"],
    ]
    assert "PSNR ↑: dcvsr minus each other, clip by clip (packaged)." in page.with_suffix(".md").read_text()
    lines = page.with_name("report_clips.csv").read_text().splitlines()
    assert "packaged,carphone,lpips,bicubic,0.3127,-0.0896" in lines


def test_each_clip_has_its_videos_crops_and_a_line_over_time(page: Path) -> None:
    shown = Page(page.read_text())
    pictures = [value for name, value in shown.attributes if name == "alt"]
    assert pictures.count("bicubic") == pictures.count("dcvsr") == 1
    assert sum("over time" in (text or "") for text in pictures) == 2


def test_text_from_files_stays_text(tmp_path: Path) -> None:
    run = make_training(tmp_path / "run")
    (run / "config.yaml").write_text(HOSTILE)
    for name in (HOSTILE, "dcvsr", "bicubic"):
        evaluation = make_evaluation(tmp_path / "runs" / name[-6:], name, **{HOSTILE: 0.5})
        make_video(evaluation / "videos/carphone.mp4", gain=len(name) / 64)
    runs = runs_under(tmp_path / "runs")
    videos = {side: str(make_video(tmp_path / f"{side}.mp4")) for side in ("left", "right")}
    content = Content(
        pairs=[pair(HOSTILE, videos | {"left_label": HOSTILE, "right_label": HOSTILE})],
        tables=tables(runs),
        deltas=clip_differences.deltas(runs, "dcvsr"),
        views=views(scenes(runs, "dcvsr", None, 1), count=1, side=16, crf=20),
        curves=curves(HOSTILE, run),
        settings=settings({HOSTILE: run}, []),
    )
    shown = Page(render(content))
    assert shown.tags.count("script") == 1
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count(HOSTILE) >= 12


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "is not JSON"), ("[]", "dcvsr.evaluate"), ('{"dataset": "x"}', "dcvsr.evaluate")],
)
def test_a_broken_summary_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=complaint) as raised:
        runs_under(tmp_path)
    assert str(tmp_path / "summary.json") in str(raised.value)


def test_a_broken_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n1,much\n")
    with pytest.raises(UserError, match=r"metrics\.csv.*much"):
        curves("run", tmp_path)


def test_missing_runs_are_named(tmp_path: Path) -> None:
    for reader in (
        lambda: curves("a", tmp_path),
        lambda: settings({"a": tmp_path}, []),
    ):
        with pytest.raises(UserError, match=f"cannot read {tmp_path}"):
            reader()


def test_videos_that_no_browser_can_play_in_step_are_refused(tmp_path: Path) -> None:
    left = make_video(tmp_path / "left.mp4")
    for right, complaint in (
        (tmp_path / "missing.mp4", "does not exist"),
        (make_video(tmp_path / "short.mp4", frames=5), "5 at 25"),
        (make_video(tmp_path / "other.mkv"), "not an mp4"),
    ):
        with pytest.raises(UserError, match=complaint):
            pair("clip", {"left": str(left), "right": str(right), **LABELS})
    with pytest.raises(UserError, match="left_label"):
        pair("clip", {"left": str(left), "right": str(left), "lefft_label": "typo"})


@pytest.mark.parametrize("mistake", ["runs=gone", "trainings=gone", "settings=gone.json", "media=gone"])
def test_a_mistake_ends_in_one_line_and_writes_nothing(tmp_path: Path, mistake: str) -> None:
    done = command(tmp_path, mistake)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "gone" in done.stderr
    assert not list(tmp_path.glob("report*"))


def test_a_file_beside_the_page_that_no_report_wrote_is_not_replaced(run: Run, tmp_path: Path) -> None:
    make_evaluation(tmp_path / "runs/dcvsr", psnr=30.0)
    mine = tmp_path / "README.md"
    mine.write_text("mine")
    arguments = "report", "runs=runs", "media=0"
    done = run(*arguments, "output=README.html")
    assert (done.code, mine.read_text()) == (2, "mine")
    assert "dcvsr: README.md would be replaced; move it, or name another output=" in done.err
    assert [run(*arguments, "output=other.html").code for _ in range(2)] == [0, 0], "its own are replaced"


def test_an_output_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_whole(tmp_path / "report.html", "page")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_an_empty_report_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to report"):
        render(Content())


def test_strata_plots_and_equal_evaluations_are_on_the_page_and_beside_it(tmp_path: Path) -> None:
    for steps in (4, 8):
        folder = make_evaluation(tmp_path / "runs" / str(steps), "dcvsr", psnr=20.0 + steps)
        summary = json.loads((folder / "summary.json").read_text())
        summary["clips"] = {clip: {"psnr": 20.0 + steps} for clip in "abcd"}
        summary["strength"] = {clip: {"blur": place} for place, clip in enumerate("abcd")}
        summary["cost"]["evaluations"] = 6 * steps
        summary["overrides"] = [f"sampler.steps={steps}"]
        write_whole(folder / "summary.json", json.dumps(summary))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "report", ["output=a.html", f"runs={tmp_path}/runs", "reference='dcvsr sampler.steps=8'"]
        )
    named: Any = OmegaConf.to_container(cfg)
    content = gather(named)
    shown = Page(render(content))
    for text in ("By degradation", "Against sampler.steps"):
        assert text in shown.text
    assert ["dcvsr sampler.steps=4", "24.00 +4.00 (too few clips: 4)"] in shown.rows
    assert {*texts(content)} == {".md", ".tex", ".csv", "_clips.csv", "_plots.csv"}
    equal = gather(named | {"equal_evaluations": True})
    assert "Rows at 48 U-Net evaluations" in Page(render(equal)).text
    assert [row.label for row in equal.tables[0].rows] == ["dcvsr sampler.steps=8"]


def test_a_page_that_opens_slowly_is_told_of(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_evaluation(tmp_path / "runs/dcvsr", psnr=30.0)
    arguments = "report", f"runs={tmp_path}/runs", "output=report.html", "media=0"
    assert "slowly" not in run(*arguments).out
    monkeypatch.setattr("dcvsr.report.__main__.LARGE", 1)
    assert "MB and will open slowly; media= shows fewer" in run(*arguments).out


def test_wandb_gets_the_tables_and_the_media(run: Run, tmp_path: Path) -> None:
    for name, gain in (("bicubic", 1.0), ("dcvsr", 0.5)):
        make_video(make_evaluation(tmp_path / "runs" / name, psnr=gain) / "videos/carphone.mp4", gain=gain)
    done = run("report", f"runs={tmp_path}/runs", "output=page/report.html", "wandb=offline")
    assert done.code == 0, done.err
    [media] = (tmp_path / "page/wandb").glob("offline-run-*/files/media")
    kept = {str(file.relative_to(media)).partition("_")[0] for file in media.rglob("*.*")}
    assert kept == {
        "table/report/table 1: Metrics (packaged)",
        "table/report/table 1: Metrics (packaged), differences",
        "table/report/clip by clip",
        "videos/report/packaged/carphone/videos",
        "images/report/packaged/carphone/worst crops",
        "images/report/packaged/carphone/x-t slices",
    }


def test_without_wandb_only_the_page_and_its_tables_are_written(page: Path) -> None:
    written = {path.name for path in page.parent.iterdir()}
    given = {"runs", "stage1", "left.mp4", "right.mp4", "out.json"}
    beside = {f"report{ending}" for ending in (".html", ".md", ".tex", ".csv", "_clips.csv")}
    assert written - given == beside


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs Debian's chromium and chromium-driver")
def test_a_browser_plays_steps_and_wipes_the_pair(page: Path, tmp_path: Path) -> None:
    looked = subprocess.run(
        [sys.executable, LOOK, page, tmp_path / "shot.png"], capture_output=True, text=True, check=False
    )
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_browser_look_names_the_package(tmp_path: Path) -> None:
    looked = subprocess.run(
        [sys.executable, LOOK, tmp_path / "report.html", tmp_path / "shot.png"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (looked.returncode, len(looked.stderr.splitlines())) == (2, 1)
    assert "chromium-driver" in looked.stderr
