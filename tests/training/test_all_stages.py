"""All stages and the evaluation by one command."""

import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from dcvsr.runtime.composition import composed
from dcvsr.runtime.errors import UserError
from dcvsr.training import all_stages
from tests.conftest import TINY


def commands(*arguments: str) -> list[list[str]]:
    given = ["+experiment=all_stages", *arguments]
    return all_stages.commands(composed("train", given), Path("runs/all"), given)


def test_each_stage_starts_from_the_one_before_and_the_last_is_evaluated() -> None:
    found = commands("trainer.max_steps=3", "ckpt=shipped", "seed=4", "trainer=ddp", "devices=2", "batch=2")
    assert [command[:2] for command in found[:3]] == [["train", f"+experiment=stage{n}"] for n in (1, 2, 3)]
    starts = [next(part for part in command if part.startswith("ckpt=")) for command in found]
    last = [f"ckpt=runs/all/stage{n}/checkpoints/last.ckpt" for n in (1, 2, 3)]
    assert starts == ["ckpt=shipped", *last]
    for name, command in zip(("stage1", "stage2", "stage3", "evaluate"), found, strict=True):
        assert {f"hydra.run.dir=runs/all/{name}", "run_group=all", f"run_name={name}"} <= {*command}
        assert ("resume=auto" in command) == (name != "evaluate")
    assert {"trainer.max_steps=3", "seed=4", "trainer=ddp", "devices=2", "batch=2"} <= {*found[2]}
    assert found[3] == [
        *("evaluate", "seed=4", "sampler.steps=1", last[2]),
        *("hydra.run.dir=runs/all/evaluate", "run_group=all", "run_name=evaluate"),
    ]


def test_the_commands_compose() -> None:
    """With settings of the network, of the data and of one part."""
    settings = [*TINY, "lora=attention", "~loggers.wandb", "data.batch_size=2", "data.source=clips"]
    only = ["only.stage3=['module.losses.lpips=0','sampler.steps=2']", "only.evaluate=['keep=png']"]
    found = commands(*settings, *only)
    for name, *arguments in found:
        composed(name, [one for one in arguments if not one.startswith("hydra.")])
    assert "module.losses.lpips=0" in found[2]
    assert not any("lpips" in part for command in (found[0], found[1], found[3]) for part in command)
    evaluated = composed("evaluate", [one for one in found[3][1:] if not one.startswith("hydra.")])
    assert evaluated.sampler.steps == 2
    assert evaluated.keep == "png"
    assert evaluated.model.denoiser.unet.channels == [32, 32]


def test_the_path_of_a_data_set_without_a_default_reaches_the_evaluation() -> None:
    found = commands("data=folder", "data.path=clips", "data.held_out=[one]", "wandb=none")
    assert {"data=folder", "data.path=clips", "data.held_out=[one]"} <= {*found[-1]}


def test_stage_3_takes_clips_where_the_others_take_latents() -> None:
    found = [command for command in commands("data.source=latents") if command[0] == "train"]
    sources = [
        composed("train", [one for one in command[1:] if not one.startswith("hydra.")]).data.source
        for command in found
    ]
    assert sources == ["latents", "latents", "clips"]


def test_stages_and_evaluation_can_be_chosen() -> None:
    found = commands("stages=[nano_stage1,nano_stage2]", "evaluation=false", "run_group=mine")
    assert [command[1] for command in found] == ["+experiment=nano_stage1", "+experiment=nano_stage2"]
    assert all("run_group=mine" in command for command in found)
    assert [len(commands("scale=svd")), len(commands())] == [3, 4]


def run_all(monkeypatch: pytest.MonkeyPatch, codes: list[int], *arguments: str, **how: Any) -> list[str]:
    """Run all parts with the given exit codes; return the names of those that ran."""
    ran: list[str] = []

    def ended(command: list[str]) -> int:
        ran.append(command[1] if command[0] == "train" else command[0])
        return codes[len(ran) - 1]

    monkeypatch.setattr(all_stages, "_exit_code", ended)
    given = ["+experiment=all_stages", *arguments]
    try:
        all_stages.run_all(composed("train", given), Path("all"), given, **{"sweeping": False} | how)
    except SystemExit as stop:
        ran.append(f"exit {stop.code}")
    return ran


def test_a_part_that_fails_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [f"+experiment=stage{n}" for n in (1, 2, 3)]
    assert run_all(monkeypatch, [0, 0, 0, 0]) == [*stages, "evaluate"]
    assert run_all(monkeypatch, [0, 137]) == [*stages[:2], "exit 137"]


def test_processes_that_others_start_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="starts the processes of each stage itself"):
        run_all(monkeypatch, [], sweeping=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="starts the processes of each stage itself"):
        run_all(monkeypatch, [])
    with pytest.raises(UserError, match=r"stages=\[\] names no stage"):
        run_all(monkeypatch, [], "stages=[]")


@pytest.mark.skipif(sys.platform != "linux", reason="the signal of a parent's end is Linux's")
def test_a_part_ends_when_its_parent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho begun\nexec sleep 100\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    output, end = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.dup2(end, 1)
        all_stages._exit_code(["train"])
        os._exit(0)
    os.close(end)
    assert os.read(output, 100) == b"begun\n"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert select.select([output], [], [], 30)[0], "the program still runs"
    assert os.read(output, 100) == b""
