"""The wandb dashboard plots what the commands log, and needs no server to be written as JSON."""

import importlib.util
import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.cli import CONF
from tests.conftest import TINY

pytest.importorskip("wandb_workspaces", reason="this needs wandb-workspaces: pip install 'dcvsr[dashboard]'")

SCRIPT = Path(__file__).parents[2] / "experiments/dashboard/dashboard.py"


@pytest.fixture(scope="module")
def dashboard() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sections(dashboard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Configurations of the panels by section, as ``--json`` writes them without a network."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    dashboard.main(["--json", str(tmp_path / "spec.json"), "--media", "val/one", "val/two"])
    spec = json.loads((tmp_path / "spec.json").read_text())
    banks = spec["section"]["panelBankConfig"]["sections"]
    return {bank["name"]: [panel["config"] for panel in bank["panels"]] for bank in banks}


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(overrides), return_hydra_config=True)


def test_each_number_has_the_five_scores_against_it(dashboard, sections):
    scores = [f"summary:{key}" for key in dashboard.SCORES]
    assert scores == [f"summary:evaluate/{name}" for name in ("tof", "tlp", "dists", "musiq", "dover")]
    for key in dashboard.NUMBERS:
        group, _, rest = key.partition(".")
        plots = [(panel["xAxis"], panel["yAxis"]) for panel in sections[f"Scores by {key}"]]
        assert plots == [(f"config:{group}.value.{rest}", score) for score in scores]
    costs = [(panel["xAxis"], panel["yAxis"]) for panel in sections["Cost"]]
    assert costs == [(f"summary:{cost}", score) for cost in dashboard.COSTS for score in scores]


def test_each_name_has_the_five_scores_by_it(dashboard, sections):
    scores = [[key] for key in dashboard.SCORES]
    by_name = {key: sections[f"Scores by {key}"] for key in dashboard.VARIANTS}
    by_name["choices.upscaler"] = sections["Scores"][len(scores) :]
    for key, panels in by_name.items():
        group, _, rest = key.partition(".")
        assert [panel["metrics"] for panel in panels] == scores
        assert {panel["groupBy"] for panel in panels} == {f"{group}.value.{rest}"}
    runs = sections["Scores"][: len(scores)]
    assert [panel["metrics"] for panel in runs] == scores
    assert not any("groupBy" in panel for panel in runs)


def test_training_and_the_videos_asked_for_are_shown(dashboard, sections):
    assert [panel["metrics"] for panel in sections["Training"]] == [[key] for key in dashboard.TRAINING]
    assert [panel["mediaKeys"] for panel in sections["Videos"]] == [["val/one", "val/two"]]
    assert len(sections["Tables"]) == len(dashboard.TABLES)


def test_every_score_is_one_of_the_paper_s_metrics_and_its_arrow_points_to_better(dashboard):
    metrics = composed("evaluate", "metrics=paper").metrics
    for key, title in dashboard.SCORES.items():
        better = get_class(metrics[key.removeprefix("evaluate/")]._target_).higher_is_better
        assert title[-1] == ("↑" if better else "↓"), title


def test_every_key_is_one_of_evaluate_s_configuration(dashboard):
    cfg = composed("evaluate", "guidance=dssag")
    for key in (*dashboard.NUMBERS, *dashboard.VARIANTS, dashboard.UPSCALER):
        owner = cfg.hydra.runtime if key.startswith("choices.") else cfg
        assert OmegaConf.select(owner, key) is not None, key


def test_every_key_that_a_sweep_varies_has_its_section(dashboard):
    sweeps = {file: OmegaConf.load(file).get("hydra", {}) for file in (CONF / "sweep").glob("*.yaml")}
    swept = {
        key.replace("/", ".")
        for hydra in sweeps.values()
        for key, values in hydra.get("sweeper", {}).get("params", {}).items()
        if "," in str(values) and not key.startswith("+")
    }
    assert {"guidance", "guidance.rho", "propagation.sap.rate"} <= swept
    for key in swept:
        named = any(variant == key or variant.startswith(f"{key}.") for variant in dashboard.VARIANTS)
        assert named or key in dashboard.NUMBERS, key


def test_evaluate_logs_what_is_plotted(dashboard, run, logged):
    options = ("~data.test.return", "metrics=temporal", "metrics.flow=farneback", "hydra.run.dir=run")
    done = run("evaluate", "upscaler=bicubic", *TINY, *options)
    assert done.code == 0, done.err
    assert logged["config"]["propagation"]["sap"]["rate"] == 0.25
    assert logged["config"]["choices"]["upscaler"] == "bicubic"
    # The other scores are named likewise, and lack weights in some places.
    assert {"evaluate/tof", *dashboard.COSTS, *dashboard.TABLES} <= logged.keys()


def test_training_logs_what_is_plotted(dashboard, run, logged):
    options = ("metrics=fidelity", "trainer.max_steps=1", "trainer.log_every_n_steps=1", "hydra.run.dir=run")
    done = run("train", "+experiment=stage1", *TINY, *options)
    assert done.code == 0, done.err
    assert {"val/psnr", "val/slide"} <= logged.keys()
    cfg = composed("train", "+experiment=stage1")
    scores, videos = ({f"val/{name}" for name in part} for part in (cfg.metrics, cfg.data.validation))
    assert {*dashboard.TRAINING} <= logged.keys() | scores
    assert {*dashboard.MEDIA} == videos


def test_without_a_key_it_ends_in_one_line_and_asks_nobody(tmp_path):
    known = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}
    screen, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--entity", "somebody"],
        env=known | home,
        cwd=tmp_path,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        check=False,
    )
    said = os.read(screen, 10_000).decode()
    assert (done.returncode, done.stdout, said.count("\n")) == (2, b"", 1), said
    assert "No API key configured" in said
    assert "--json FILE" in said


def test_without_wandb_workspaces_it_says_how_to_get_it(dashboard, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit, match="2"):
        dashboard.main(["--json", str(tmp_path / "spec.json")])
    assert (
        capsys.readouterr().err
        == "dcvsr: the dashboard needs wandb-workspaces: pip install 'dcvsr[dashboard]'\n"
    )
