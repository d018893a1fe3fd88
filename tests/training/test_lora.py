"""Low-rank adapters: the function at first, training, checkpoints of merged weights, resuming."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from dcvsr.attention.processor import Call, calling
from dcvsr.models.checkpoint import open_checkpoint
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.training.ema import EMA
from dcvsr.training.freeze import FreezeTemporalLayers
from dcvsr.training.lora import adapted, merged_weights
from dcvsr.training.module import VSRModule
from tests.conftest import TINY

pytest.importorskip("peft", reason="this needs peft: pip install 'dcvsr[lora]'")

TEMPORAL = FreezeTemporalLayers(["temporal_transformer_blocks"])


class Fast(VSRModule):
    """The module with a large learning rate."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in self.denoiser.parameters() if p.requires_grad], lr=0.02)


def made(*changes: str) -> tuple[VSRModule, Any]:
    """Return the training module of tiny nano, and its callback of adapters."""
    cfg = _composed(changes)
    torch.manual_seed(0)
    return instantiate(cfg.module, _convert_="all"), instantiate(cfg.callbacks.lora)


@cache
def _composed(changes: tuple[str, ...]) -> DictConfig:
    common = [
        "+experiment=stage1",
        "lora=attention",
        "callbacks.lora.rank=2",
        "ckpt=null",
        "metrics=fidelity",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*common, *TINY, *changes])
    cfg.module._target_ = f"{__name__}.Fast"
    return cfg


def fit(module: VSRModule, *callbacks: pl.Callback, steps: int = 1, resume: Path | None = None) -> pl.Trainer:
    """Train on one clip of random content."""
    hr = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    sample: Any = [{"hr": hr, "lr": hr[..., ::4, ::4], "epoch": 1, "number": 0}]
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=[*callbacks],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(sample, batch_size=1), ckpt_path=resume)
    return trainer


def copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in weights.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@torch.no_grad()
def estimate(denoiser: Denoiser, call: Call | None = None) -> Tensor:
    """Return an estimate with the given attention in the propagated layers."""
    x, l = torch.randn(2, 1, 4, 48, 8, 8, generator=torch.Generator().manual_seed(5))
    c = Condition(l, torch.ones(1, 1, denoiser.embedding_size))
    with denoiser.propagated(), calling(call or Call()):
        return denoiser(x, torch.tensor([2.0]), c)


def plain(weights: dict[str, Tensor]) -> Denoiser:
    denoiser = made()[0].denoiser
    denoiser.load_state_dict(weights)
    return denoiser


def test_adapters_change_nothing_at_first() -> None:
    module, lora = made()
    before, weights = estimate(module.denoiser), copied(module.denoiser.state_dict())
    lora.setup(pl.Trainer(logger=False), module, "fit")
    assert adapted(module.denoiser)
    assert torch.equal(estimate(module.denoiser), before)
    assert same(merged_weights(module.denoiser), weights)


@pytest.mark.parametrize("targets", ["[to_q,to_k,to_v,to_out.0]", "[conv1,to_v]"])
def test_merged_weights_compute_what_the_adapted_network_computes(targets: str) -> None:
    module, lora = made(f"callbacks.lora.targets={targets}", "callbacks.lora.alpha=3")
    before = estimate(module.denoiser)
    fit(module, lora, steps=2)
    merged = plain(merged_weights(module.denoiser))
    twice = Call(propagate=lambda _, k, v: (torch.cat([k, -k], 3), torch.cat([v, 2 * v], 3)))
    for call in (None, twice):
        torch.testing.assert_close(estimate(module.denoiser, call), estimate(merged, call), atol=1e-5, rtol=0)
    assert (estimate(merged) - before).abs().max() > 1e-3
    assert (estimate(merged, twice) - estimate(merged)).abs().max() > 1e-4


@pytest.mark.parametrize("lora_first", [True, False])
def test_only_adapters_outside_frozen_layers_are_trained(lora_first: bool) -> None:
    module, lora = made()
    before = copied(module.denoiser.state_dict())
    fit(module, *([lora, TEMPORAL] if lora_first else [TEMPORAL, lora]), steps=2)
    trained = {name for name, p in module.denoiser.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name and "temporal_transformer_blocks" not in name for name in trained)
    assert not any("temporal" in name for name, _ in adapted(module.denoiser))
    merged = merged_weights(module.denoiser)
    moved = {name for name in before if not torch.equal(before[name], merged[name])}
    assert moved
    assert moved <= {f"{name}.weight" for name, _ in adapted(module.denoiser)}


def test_without_a_frozen_set_temporal_attention_has_adapters_too() -> None:
    module, lora = made()
    lora.setup(pl.Trainer(logger=False), module, "fit")
    assert any("temporal_transformer_blocks" in name for name, _ in adapted(module.denoiser))


@pytest.mark.parametrize("average", [False, True])
def test_a_checkpoint_loads_into_the_plain_denoiser(average: bool, tmp_path: Path) -> None:
    module, lora = made()
    callbacks = [EMA(0.5), lora] if average else [lora]
    fit(module, *callbacks, steps=3).save_checkpoint(tmp_path / "last.ckpt")
    loaded, _ = made()
    open_checkpoint(tmp_path / "last.ckpt", "nano").load(loaded.denoiser)
    expected = callbacks[0].average if average else merged_weights(module.denoiser)
    assert same(loaded.denoiser.state_dict(), expected)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert same(state, {f"denoiser.{name}": w for name, w in merged_weights(module.denoiser).items()})


def test_the_average_is_of_the_merged_weights_of_each_step() -> None:
    seen: list[dict[str, Tensor]] = []

    class Record(pl.Callback):
        def on_train_batch_start(self, *_) -> None:
            seen.append(merged_weights(module.denoiser))

    (module, lora), ema = made(), EMA(0.9)
    fit(module, ema, lora, Record(), steps=3)
    expected = copied(seen[0])
    for t, weights in enumerate([*seen[1:], merged_weights(module.denoiser)]):
        keep = (1 + t) / (10 + t)
        expected = {name: keep * expected[name] + (1 - keep) * weights[name] for name in expected}
    for name, value in ema.average.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_validation_computes_the_average_and_restores_the_adapters() -> None:
    module, lora = made()
    ema = EMA(0.9)
    trainer = fit(module, ema, lora, steps=2)
    before, trained = copied(module.denoiser.state_dict()), estimate(module.denoiser)
    ema.on_validation_start(trainer, module)
    assert torch.equal(estimate(module.denoiser), estimate(plain(ema.average)))
    assert not torch.equal(estimate(module.denoiser), trained)
    ema.on_validation_end(trainer, module)
    assert same(module.denoiser.state_dict(), before)


def test_two_steps_and_two_more_are_four(tmp_path: Path) -> None:
    whole, average = made()[0], EMA(0.9)
    fit(whole, average, made()[1], TEMPORAL, steps=4)
    fit(made()[0], EMA(0.9), made()[1], TEMPORAL, steps=2).save_checkpoint(tmp_path / "2.ckpt")
    (rest, lora), resumed = made(), EMA(0.9)
    torch.manual_seed(7)  # other values of A, which the checkpoint replaces
    fit(rest, resumed, lora, TEMPORAL, steps=4, resume=tmp_path / "2.ckpt")
    assert same(rest.denoiser.state_dict(), whole.denoiser.state_dict())
    assert same(resumed.average, average.average)


def test_a_run_is_resumed_only_with_its_own_adapters(tmp_path: Path) -> None:
    module, lora = made()
    fit(module, lora, steps=1).save_checkpoint(tmp_path / "lora.ckpt")
    with pytest.raises(UserError, match="the run to resume trains adapters; resume it with lora=attention"):
        fit(made()[0], steps=2, resume=tmp_path / "lora.ckpt")
    with pytest.raises(UserError, match=r"'alpha': 16.*callbacks.lora .*'alpha': 4"):
        fit(made()[0], made("callbacks.lora.alpha=4")[1], steps=2, resume=tmp_path / "lora.ckpt")
    fit(made()[0], steps=1).save_checkpoint(tmp_path / "plain.ckpt")
    with pytest.raises(UserError, match="the run to resume has no adapters"):
        fit(made()[0], lora, steps=2, resume=tmp_path / "plain.ckpt")


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        ("[to_q,to_w]", "to_w is not a linear or convolution layer of the U-Net; name some of to_q"),
        ("[norm1]", "norm1 is not a linear or convolution layer"),
        ("[temporal_transformer_blocks.0.attn1.to_q]", "names only frozen layers"),
    ],
)
def test_targets_without_layers_to_train_are_refused(targets: str, says: str) -> None:
    module, lora = made(f"callbacks.lora.targets={targets}")
    with pytest.raises(UserError, match=says):
        lora.setup(pl.Trainer(logger=False, callbacks=[TEMPORAL]), module, "fit")


def test_train_says_how_many_parameters_it_trains(train) -> None:
    done = train("stage1", "lora=attention", "trainer.max_steps=1", "hydra.run.dir=lora")
    assert done.code == 0, done.err
    assert "adapters of 64 layers: 0.07 of 0.7 M parameters are trained" in done.out
    assert open_checkpoint("lora/checkpoints/last.ckpt").step == 1


def test_without_peft_train_names_its_extra(train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    done = train("stage1", "lora=attention")
    assert done.code == 2
    assert "dcvsr: lora needs peft: pip install 'dcvsr[lora]'" in done.err
