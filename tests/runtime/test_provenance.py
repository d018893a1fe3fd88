"""The training of a checkpoint: equal recipes are trainings that differ in their seed alone."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dcvsr.runtime.provenance import training

SETTINGS = {
    "seed": 0,
    "runs": "outputs",
    "resume": None,
    "ckpt": "newest",
    "datamodule": {"seed": "${seed}", "batch_size": 2},
    "trainer": {"max_steps": 8},
}


def make(folder: Path, start: str = "the initial weights of the model", **changed: Any) -> Path:
    """A run folder as `dcvsr.train` leaves it, with settings that ``changed``; its checkpoint."""
    settings = OmegaConf.create(SETTINGS | changed)
    for name in (".hydra", "checkpoints"):
        (folder / name).mkdir(parents=True)
    OmegaConf.save(settings, folder / ".hydra/config.yaml")
    OmegaConf.save(OmegaConf.merge(settings, {"start": start}), folder / "config.yaml", resolve=True)
    file = folder / "checkpoints/last.ckpt"
    file.write_text(str(changed))
    return file


def recipe(file: Path) -> str:
    found = training(file)
    assert found is not None
    return found["recipe"]


def test_trainings_that_differ_in_their_seed_have_one_recipe(tmp_path: Path) -> None:
    one = make(tmp_path / "0")
    other = make(tmp_path / "1", seed=1, runs="elsewhere", resume="outputs/last.ckpt")
    assert recipe(one) == recipe(other)
    assert [training(file)["seed"] for file in (one, other)] == [0, 1]  # type: ignore[index]


def test_another_setting_is_another_recipe(tmp_path: Path) -> None:
    one, other = make(tmp_path / "0"), make(tmp_path / "1", trainer={"max_steps": 9})
    assert recipe(one) != recipe(other)


def test_the_recipe_of_a_second_stage_contains_the_first_stage_s(tmp_path: Path) -> None:
    starts = {"seed": {"seed": 1}, "steps": {"trainer": {"max_steps": 9}}, "same": {}}
    first = {name: make(tmp_path / name, **changed) for name, changed in starts.items()}
    second = {
        name: recipe(make(tmp_path / f"{name}2", f"{file} (scale=nano, stage 1, step 8)"))
        for name, file in first.items()
    }
    assert second["seed"] == second["same"] != second["steps"]


def test_starts_without_a_run_folder_are_told_apart_by_their_content(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a", "b", "c")}
    for name, content in (("a", "x"), ("b", "x"), ("c", "y")):
        files[name].write_text(content)
    a, b, c = (
        recipe(make(tmp_path / f"{name}2", f"{file} (scale=nano, stage 1, step 8)"))
        for name, file in files.items()
    )
    assert a == b != c


def test_a_checkpoint_without_its_run_folder_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    assert training(tmp_path / "last.ckpt") is None
