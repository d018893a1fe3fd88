"""Training by two processes, and resumed: the draws of each sample, and the weights that come of them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from dcvsr.models.denoiser import Condition
from dcvsr.runtime.cli import CONF
from dcvsr.training.batch import accumulation
from tests.conftest import TINY

EFFECTIVE_BATCH = 4

Draws = dict[tuple[int, int], dict[str, Tensor]]
"""(epoch, number) -> what was drawn for that sample."""

Alone = tuple[dict[str, Any], dict[str, Any], Path]


class Recorder(pl.Callback):
    """Stands in for the loss, and leaves each process's draws and last weights in ``folder``."""

    def __init__(self, folder: Path, module: Any, drops: list[Tensor]) -> None:
        self.folder, self.loss, self.drops = folder, module.loss, drops
        self.sigma = module.loss.sigma
        self.draws: Draws = {}
        module.loss = self

    def __call__(self, denoise: Any, y: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        self.noise, self.levels = noise, sigma
        return self.loss(denoise, y, noise, sigma)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        samples = zip(batch["epoch"].tolist(), batch["number"].tolist(), strict=True)
        for index, sample in enumerate(samples):
            drawn = {"noise": self.noise, "sigma": self.levels, "dropout": self.drops[-1]}
            self.draws[sample] = {name: value[index].clone() for name, value in drawn.items()}

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        found = {"draws": self.draws, "weights": pl_module.state_dict(), "steps": trainer.global_step}
        torch.save(found, self.folder / f"{trainer.global_rank}.pt")


@pytest.fixture(scope="module")
def drops() -> Iterator[list[Tensor]]:
    """The dropout of each batch, clip by part, as it is applied."""
    seen: list[Tensor] = []
    apply = Condition.dropped

    def recorded(condition: Condition, *parts: Tensor) -> Condition:
        seen.append(torch.stack(parts, dim=1))
        return apply(condition, *parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Condition, "dropped", recorded)
        yield seen


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """OpenMP's threads do not outlive a fork."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fit(
    folder: Path,
    drops: list[Tensor],
    processes: int = 1,
    steps: int = 2,
    resume: Path | None = None,
    **keys: Any,
) -> list[dict[str, Any]]:
    """Train at tiny size, leave ``last.ckpt`` in ``folder``, and return what each process recorded."""
    folder.mkdir()
    changes = [f"{key}={value}" for key, value in {"module.dropout": 0.5, "metrics": "none", **keys}.items()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=stage1", *TINY, *changes])
    pl.seed_everything(cfg.seed, verbose=False)
    accumulated = accumulation(EFFECTIVE_BATCH, cfg.data.batch_size, processes)
    module = instantiate(cfg.module, _convert_="all")
    # Adam's first steps blow up the rounding of gradients near zero.
    module.optimizer = partial(torch.optim.SGD, lr=1)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp_fork" if processes > 1 else "auto",
        max_steps=steps,
        accumulate_grad_batches=accumulated,
        gradient_clip_val=1.0,
        callbacks=[Recorder(folder, module, drops), Saving(folder)],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    datamodule = instantiate(cfg.datamodule, _convert_="all")(steps=steps * accumulated)
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume)
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


class Saving(pl.Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        trainer.save_checkpoint(self.folder / "last.ckpt")


def joined(*shares: dict[str, Any]) -> Draws:
    """The draws of all processes, none of which may show a sample twice."""
    draws: Draws = {}
    for share in shares:
        assert not draws.keys() & share["draws"].keys()
        draws |= share["draws"]
    return draws


def assert_same(one: Draws, other: Draws) -> None:
    assert one.keys() == other.keys()
    for sample, drawn in one.items():
        for name, value in drawn.items():
            assert torch.equal(value, other[sample][name]), (sample, name)


def assert_all_differ(draws: Draws) -> None:
    for name in ("noise", "sigma"):
        assert len({tuple(drawn[name].flatten()[:8].tolist()) for drawn in draws.values()}) == len(draws)


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, drops: list[Tensor]) -> Alone:
    """Records of one process in two steps and in four, and the folder of two."""
    folder = tmp_path_factory.mktemp("alone")
    [two], [four] = fit(folder / "two", drops), fit(folder / "four", drops, steps=4)
    return two, four, folder / "two"


@pytest.mark.timeout(600)
def test_two_processes_draw_and_learn_what_one_does(
    alone: Alone, tmp_path: Path, drops: list[Tensor]
) -> None:
    one, _, _ = alone
    [start] = fit(tmp_path / "start", drops, steps=1)
    shares = fit(tmp_path / "two", drops, processes=2)
    assert_same(joined(*shares), one["draws"])
    assert_all_differ(one["draws"])
    assert {bool(drawn["dropout"].any()) for drawn in one["draws"].values()} == {True, False}
    moved = largest_difference(one["weights"], start["weights"])
    for share in shares:
        assert largest_difference(share["weights"], one["weights"]) < 1e-4 * moved


def test_draws_depend_on_the_seed_and_not_on_the_batch_size(
    alone: Alone, tmp_path: Path, drops: list[Tensor]
) -> None:
    ones, _, _ = alone
    [twos] = fit(tmp_path / "twos", drops, **{"data.batch_size": 2})
    [other] = fit(tmp_path / "other", drops, seed=1)
    assert_same(ones["draws"], twos["draws"])
    for sample, drawn in other["draws"].items():
        assert not torch.equal(drawn["noise"], ones["draws"][sample]["noise"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_resumed_run_draws_and_learns_what_an_unbroken_one_does(
    processes: int, alone: Alone, tmp_path: Path, drops: list[Tensor]
) -> None:
    """By as many processes as before, to the bit, or by twice as many."""
    first, whole, folder = alone
    resumed = fit(tmp_path / "resumed", drops, processes, steps=4, resume=folder / "last.ckpt")
    assert [share["steps"] for share in resumed] == [4] * processes
    assert_same(joined(first, *resumed), whole["draws"])
    moved = largest_difference(whole["weights"], first["weights"])
    for share in resumed:
        difference = largest_difference(share["weights"], whole["weights"])
        assert difference < 1e-4 * moved if processes > 1 else difference == 0
