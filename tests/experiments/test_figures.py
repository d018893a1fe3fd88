"""The command of the paper's figures."""

import importlib.util
import json
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

import dcvsr.degrade.building
import dcvsr.evaluation.job  # noqa: F401  each child would import it
from dcvsr.data.synthetic import Translation
from dcvsr.runtime.cli import CONF
from dcvsr.video.frame_folder import write_frames
from tests.forking import forked

FOLDER = Path(__file__).parents[2] / "experiments/figures"
SPECIFICATION = """
_target_: dcvsr.figures.figure.Figure
rivals:
  rival: [upscaler=realesrgan]
results:
  bicubic: [upscaler=bicubic]
frames: {_target_: dcvsr.figures.boxes.Moments, shares: [0.5], run: 1}
boxes: {_target_: dcvsr.figures.boxes.Richest, count: 1, share: 0.5}
"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", FOLDER / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


NAMES = load().NAMES


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, run from an empty folder that has a clip; of one figure, of bicubic."""
    script = load()
    (tmp_path / "specs/mine").mkdir(parents=True)
    (tmp_path / "specs/mine/mine.yaml").write_text(SPECIFICATION)
    monkeypatch.setattr(script, "HERE", tmp_path / "specs")
    monkeypatch.setattr(script, "NAMES", ["mine"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    clip = Translation(seed=0, frames=3, height=32, width=48, dx=0.5, dy=0.2)
    write_frames(tmp_path / "clips/slide", clip.read(0, 3).permute(0, 2, 3, 1).numpy(), [])
    return script


def refusal(script: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line with which the script ends."""
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    return capsys.readouterr().err.splitlines()[-1]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_figure_is_drawn_of_results_that_are_made_once(figures, tmp_path: Path, monkeypatch) -> None:
    common = ["mine", "--data", "clips", "--degradation", "bicubic", "--without", "rival"]
    monkeypatch.setattr(figures.subprocess, "run", lambda arguments, check: forked(arguments[1:]))
    figures.main([*common, "--box", "8,4,16,12"])
    [run] = (tmp_path / "outputs/figures/runs").iterdir()
    restored, truth = pixels(run / "videos/slide/00000001.png"), pixels(tmp_path / "clips/slide/00000001.png")
    [lr] = (tmp_path / "outputs/figures/lr").glob("*/slide/00000001.png")
    magnified = pixels(lr).repeat(4, 0).repeat(4, 1)
    sheet = pixels(tmp_path / "outputs/figures/mine.png")
    top, right = 16 + 24 + 20, sheet.shape[1] - 16
    crops = [sheet[top:, right - (i + 1) * 198 + 6 :][: 12 * 12 : 12, : 12 * 16 : 12] for i in range(3)]
    for crop, whole in zip(crops, (truth, restored, magnified), strict=True):
        assert np.array_equal(crop, whole[4:16, 8:24])

    commands = ran(figures, monkeypatch, {})
    figures.main([*common, "--frames", "0"])
    assert commands == ["degrade"]
    assert not np.array_equal(pixels(tmp_path / "outputs/figures/mine.png"), sheet)


def ran(script: ModuleType, monkeypatch: pytest.MonkeyPatch, codes: dict[str, int]) -> list[str]:
    """From now on commands end at once, with the code of the first text that is in their arguments."""
    commands = []

    def end(arguments: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(arguments[2].removeprefix("dcvsr."))
        code = next((code for text, code in codes.items() if any(text in part for part in arguments)), 0)
        return subprocess.CompletedProcess(arguments, code)

    monkeypatch.setattr(script.subprocess, "run", end)
    return commands


def test_a_rival_that_cannot_run_is_left_out_and_named(figures, monkeypatch, capsys) -> None:
    ran(figures, monkeypatch, {"realesrgan": 2})
    asked = figures.arguments(["mine", "--data", "clips"])
    made = dict(figures.runs(asked, figures.specification(asked), []))
    assert list(made) == ["bicubic"]
    assert capsys.readouterr().err == "rival is left out\n"


@pytest.mark.parametrize(
    ("codes", "code"), [({"realesrgan": 1}, 1), ({"bicubic": 2}, 2), ({"degrade": 2}, 2)]
)
def test_anything_else_that_goes_wrong_ends_it(figures, monkeypatch, codes, code, capsys) -> None:
    ran(figures, monkeypatch, codes)
    with pytest.raises(SystemExit, match=str(code)):
        figures.main(["mine", "--data", "clips"])
    assert capsys.readouterr().err == ""


def test_a_dry_run_runs_nothing(figures, monkeypatch, tmp_path, capsys) -> None:
    commands = ran(figures, monkeypatch, {})
    figures.main(["mine", "--data", "clips", "--dry-run"])
    assert not commands
    assert capsys.readouterr().out.count("$ python -m dcvsr.evaluate ") == 2
    assert not (tmp_path / "outputs").exists()


@cache
def composed(command: str, *overrides: str) -> str:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return json.dumps(OmegaConf.to_container(compose(command, list(overrides))), sort_keys=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_every_figure_composes_and_differs(name: str, tmp_path_factory) -> None:
    script = load()
    asked = script.arguments(
        [name, "--data", str(tmp_path_factory.getbasetemp()), "--scale", "svd", "--dry-run"]
    )
    figure = script.specification(asked)
    _, data = script.pairs(asked) if figure.needs_clips else ([], [])
    columns = [
        composed(figure.command, *data, *figure.settings, *overrides)
        for overrides in [*figure.rivals.values(), *figure.results.values()]
    ]
    assert len(set(columns)) == len(columns)


def test_real_video_comes_without_degradation_and_truth(figures) -> None:
    asked = figures.arguments(["mine", "--lr", "clips"])
    sources, data = figures.pairs(asked)
    settings = json.loads(composed("evaluate", *data))
    assert sources == [Path("clips").resolve()]
    assert settings["data"]["path"] == str(sources[0])
    assert "requires" not in settings["data"]
    assert settings["degradation"]["_target_"].endswith("Given")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_how_it_is_made(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text()
    assert f"python experiments/figures/figures.py {name} " in text


def test_results_made_elsewhere_stand_before_ours(figures, tmp_path: Path, monkeypatch) -> None:
    drawn = []
    figure = type(
        "Drawn",
        (),
        {
            "rivals": {"rival": []},
            "results": {"ours": []},
            "kept": lambda self, run, cache: {"slide": clips["slide"]},
            "write": lambda self, path, shown: drawn.extend(shown[0].columns) or [],
        },
    )()
    from dcvsr.data.folders import folder_of_clips

    clips = folder_of_clips("clips", "cache")
    for label in ("rival", "ours"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "summary.json").write_text('{"weights": null}')
    asked = figures.arguments(["mine", "--data", "clips", "--results", "theirs=clips"])
    figures.draw(asked, figure, {"rival": tmp_path / "rival", "ours": tmp_path / "ours"}, [])
    assert drawn == ["rival", "theirs", "ours"]


def test_results_of_two_checkpoints_are_not_set_side_by_side(figures, tmp_path: Path) -> None:
    made = {name: tmp_path / name for name in "ab"}
    for name, run in made.items():
        run.mkdir()
        entry = {"file": f"{name}.ckpt", "sha256": name}
        (run / "summary.json").write_text(json.dumps({"weights": entry}))
    figures.require_one_checkpoint({"a": made["a"], "again": made["a"]})
    with pytest.raises(figures.UserError, match=r"several weights, a.ckpt, b.ckpt: .* --overrides ckpt=FILE"):
        figures.require_one_checkpoint(made)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "mine needs --data FOLDER, HR clips; or --lr FOLDER"),
        (["--data", "clips", "--lr", "clips"], "mine needs --data FOLDER, HR clips; or --lr FOLDER"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "clips", "--without", "x"], "x is not a column; leave out some of rival, bicubic"),
        (["--data", "clips", "--results", "bicubic=clips"], "mine has a column bicubic of its own"),
        (["--data", "clips", "--results", "x"], "x is no LABEL=FOLDER"),
        (["--data", "clips", "--frames", "1,b"], "1,b is not a list of numbers such as 0,11"),
        (["--data", "clips", "--box", "1,2,3"], "1,2,3 is not left,top,width,height"),
        (["other", "--data", "clips"], "other"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(figures, tmp_path: Path, capsys, arguments, message) -> None:
    assert message in refusal(figures, ["mine", *arguments], capsys)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("share: 0.5", "shape: 0.5", "mine.yaml: "),
        (
            "bicubic: [upscaler=bicubic]",
            "bicubic: upscaler=bicubic",
            "upscaler=bicubic is not a list of overrides",
        ),
        ("  bicubic: [upscaler=bicubic]", "  {}", "results is empty"),
    ],
)
def test_a_wrong_specification_is_named(figures, tmp_path, capsys, before, after, message) -> None:
    path = tmp_path / "specs/mine/mine.yaml"
    path.write_text(path.read_text().replace(before, after))
    assert message in refusal(figures, ["mine", "--data", "clips"], capsys)
