"""Which weights a denoiser gets: a run's, their average, or the package's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dcvsr.diffusion.sampler import Sampler
from dcvsr.models.checkpoint import open_checkpoint, require_resumable, restored
from dcvsr.runtime.errors import UserError

ABOUT = {"scale": "nano", "stage": "2", "step": "7", "recipe": "by hand", "source_sha256": "0" * 64}


class Small(torch.nn.Linear):
    """Stands for a denoiser: named weights, and where they are from."""

    origin = None

    def __init__(self, inputs: int = 2) -> None:
        super().__init__(inputs, 2, bias=False)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the package's models."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr("dcvsr.models.checkpoint.SHIPPED", folder)
    return folder


@pytest.fixture
def model(package: Path) -> Path:
    path = package / "nano.safetensors"
    save_file({"weight": torch.tensor([[1, 2], [3, 1 / 3]]).half()}, path, metadata=ABOUT)
    return path


def _run(folder: Path, stage: int, value: float, about: dict[str, Any] | None = None, **more) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    state = {"denoiser.weight": torch.full((2, 2), value)}
    about = {"scale": "nano", "stage": stage, **(about or {})}
    torch.save({"dcvsr": about, "global_step": 3, "state_dict": state, **more}, path)
    return path


def _restored(ckpt: str | None, runs: Path, *stages: int) -> Small:
    return restored(Small(), ckpt, str(runs), "nano", stages or (2, 1))  # type: ignore[arg-type, return-value]


def test_the_average_is_what_a_checkpoint_gives(tmp_path):
    average = {"weight": torch.full((2, 2), 9.0)}
    path = _run(tmp_path, 1, 1.0, ema={"weights": average, "steps": 3})
    assert torch.equal(open_checkpoint(path, "nano").weights["weight"], average["weight"])
    plain = open_checkpoint(_run(tmp_path / "plain", 1, 1.0), "nano")
    assert torch.equal(plain.weights["weight"], torch.ones(2, 2))


def test_half_precision_comes_back_single(model):
    found = open_checkpoint(model, "nano")
    assert (found.stage, found.step, found.scale) == (2, 7, "nano")
    assert found.weights["weight"].dtype == torch.float32
    assert found.weights["weight"][1, 1] == torch.tensor(1 / 3).half().float()
    assert str(found) == f"{model} (scale=nano, stage 2, step 7)"


@pytest.mark.parametrize("ckpt", ["required", "newest"])
def test_a_run_is_preferred_and_the_package_s_model_comes_next(ckpt, model, tmp_path):
    assert _restored(ckpt, tmp_path / "runs").origin.path == model  # type: ignore[attr-defined]
    run = _run(tmp_path / "runs", 1, 5.0)
    assert _restored(ckpt, tmp_path / "runs").origin.path == run  # type: ignore[attr-defined]
    assert _restored("shipped", tmp_path / "runs").origin.path == model  # type: ignore[attr-defined]


def test_stage_2_starts_from_the_package_s_model_where_only_stage_2_has_run(model, tmp_path):
    _run(tmp_path / "runs", 2, 5.0)
    assert _restored("newest", tmp_path / "runs", 1).weight[0, 1] == 2


def test_from_scratch_is_from_scratch(model, tmp_path):
    _run(tmp_path / "runs", 1, 5.0)
    assert _restored(None, tmp_path / "runs").origin is None


def test_without_either_all_is_as_it_was(package, tmp_path, caplog):
    assert _restored("newest", tmp_path, 1).origin is None
    assert "no stage-1 checkpoint of scale=nano under" in caplog.text
    with pytest.raises(UserError, match=r"no stage-2 or -1 checkpoint of scale=nano .* ckpt=FILE"):
        _restored("required", tmp_path)
    with pytest.raises(UserError, match="dcvsr ships no model of scale=nano; give one with ckpt=FILE"):
        _restored("shipped", tmp_path)


def test_a_package_s_model_of_another_configuration_is_taken_only_by_name(model, tmp_path, caplog):
    def wide(ckpt: str) -> Small:
        return restored(Small(3), ckpt, str(tmp_path / "runs"), "nano", [1])  # type: ignore[arg-type, return-value]

    assert wide("newest").origin is None
    assert "starting from initial weights" in caplog.text
    with pytest.raises(UserError, match="no stage-1 checkpoint"):
        wide("required")
    with pytest.raises(UserError, match=r"holds another model than model=\.\.\. describes"):
        wide("shipped")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a dcvsr checkpoint"),
        (b"\xff" * 64, "is not a dcvsr checkpoint"),
        (None, "is not a dcvsr checkpoint"),
        ({"scale": "svd"}, "has scale=svd and this run scale=nano"),
        ({"stage": "two"}, "is not a dcvsr checkpoint"),
        ({"sampler": '{"steps": 0}'}, "is not a dcvsr checkpoint"),
    ],
)
def test_another_file_is_refused_in_one_line(content, said, tmp_path):
    path = tmp_path / "a.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file({"weight": torch.ones(2, 2)}, path, metadata=content and ABOUT | content)
    with pytest.raises(UserError, match=said) as error:
        open_checkpoint(path, "nano")
    assert "\n" not in str(error.value)


def test_losses_of_stage_3_are_recorded(tmp_path):
    losses = {"l1": 2, "lpips": 0.5, "dists": 0}
    of_run = open_checkpoint(_run(tmp_path, 3, 1.0, {"losses": losses}))
    assert (of_run.losses, of_run.record()["losses"]) == (("l1", "lpips"), ["l1", "lpips"])
    of_file = tmp_path / "a.safetensors"
    save_file({"weight": torch.ones(2, 2)}, of_file, metadata=ABOUT | {"losses": json.dumps(losses)})
    assert open_checkpoint(of_file).losses == of_run.losses
    save_file({"weight": torch.ones(2, 2)}, of_file, metadata=ABOUT)
    assert "losses" not in open_checkpoint(of_file).record()


def test_a_model_cut_off_is_refused(model):
    model.write_bytes(model.read_bytes()[:-3])
    with pytest.raises(UserError, match="is not a dcvsr checkpoint"):
        open_checkpoint(model, "nano")


def test_weights_alone_cannot_be_resumed(model):
    with pytest.raises(
        UserError, match="holds only weights and cannot be resumed; start from them with ckpt="
    ):
        require_resumable(str(model), "nano", 2, 1, Sampler(3, 15, 60, 7), 0)


def test_a_run_resumes_only_with_the_sampler_that_its_checkpoint_was_trained_for(tmp_path):
    used = {"steps": 1, "sigma_min": 15, "sigma_max": 60, "rho": 7, "solver": "euler"}
    path = str(_run(tmp_path, 3, 1.0, {"sampler": used}))
    require_resumable(path, "nano", 3, 9, Sampler(**used), 0)
    with pytest.raises(
        UserError, match=r"for sampler.steps=1 .*: add sampler.steps=1, or start .* with ckpt="
    ):
        require_resumable(path, "nano", 3, 9, Sampler(2, 15, 60, 7), 0)
    older = str(_run(tmp_path / "older", 3, 1.0))
    require_resumable(older, "nano", 3, 9, Sampler(2, 15, 60, 7), 0)


def test_a_run_resumes_only_with_its_seed(tmp_path):
    sampler = Sampler(3, 15, 60, 7)
    path = str(_run(tmp_path, 1, 1.0, {"seed": 4}))
    require_resumable(path, "nano", 1, 9, sampler, 4)
    with pytest.raises(
        UserError, match=r"with seed=4, this run has seed=0: add seed=4, or start .* with ckpt="
    ):
        require_resumable(path, "nano", 1, 9, sampler, 0)
    older = str(_run(tmp_path / "older", 1, 1.0))
    require_resumable(older, "nano", 1, 9, sampler, 0)
