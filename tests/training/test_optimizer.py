"""AdamW in 8 bits takes a quarter of the memory, trains alike, and resumes from plain tensors."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from dcvsr.training.optimizer import adamw, eight_bit_bytes, plain, quantized

torchao = pytest.importorskip("torchao", reason="needs the extra 8bit, which dev leaves out")


@pytest.fixture(autouse=True)
def not_compiled():
    """Run torchao's step as it is; compiling it takes a minute."""
    with torch.compiler.set_stance("force_eager"):
        yield


class Task:
    """A network of 33 K weights that learns to rotate its input."""

    def __init__(self, bits: int) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))
        self.x = torch.randn(128, 64)
        self.optimizer = adamw(self.network.parameters(), 3e-3, [0.9, 0.999], 0.01, fused=True, bits=bits)

    def train(self, steps: int) -> float:
        loss = torch.zeros(())
        for _ in range(steps):
            loss = (self.network(self.x) - self.x.roll(1, 1)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()


def stored(state) -> int:
    """Return the bytes of all tensors."""
    return sum(leaf.nbytes for leaf in tree_leaves(plain(state)) if isinstance(leaf, Tensor))


def test_eight_bits_take_a_quarter_of_the_memory_and_train_alike():
    full, small = Task(32), Task(8)
    start = full.train(1)
    assert small.train(1) == start
    ends = full.train(60), small.train(60)
    assert ends[0] < 0.2 * start
    assert ends[1] == pytest.approx(ends[0], rel=0.1)
    assert not torch.equal(full.network[0].weight, small.network[0].weight)
    weights = small.network.parameters()
    moments = stored(small.optimizer.state_dict()["state"]) - 4 * 4  # four counts of steps
    assert moments == eight_bit_bytes(p.numel() for p in weights) < 0.3 * stored(full.optimizer.state_dict())


def test_a_state_of_eight_bits_is_stored_as_plain_tensors_and_resumes_bit_for_bit(tmp_path):
    whole, first, second = Task(8), Task(8), Task(8)
    whole.train(6)
    first.train(3)
    torch.save({"state": plain([first.optimizer.state_dict()])}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    assert {type(leaf) for leaf in tree_leaves(state) if isinstance(leaf, Tensor)} == {Tensor}
    second.network.load_state_dict(first.network.state_dict())
    second.optimizer.load_state_dict(quantized(state)[0])
    second.train(3)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name])


def test_a_state_of_32_bits_is_stored_as_it_is():
    task = Task(32)
    task.train(1)
    state = task.optimizer.state_dict()
    again = quantized(plain(state))
    assert again["param_groups"] == state["param_groups"]
    assert all(
        torch.equal(a, b)
        for a, b in zip(tree_leaves(again["state"]), tree_leaves(state["state"]), strict=True)
    )


def test_other_numbers_of_bits_are_refused():
    with pytest.raises(ValueError, match="bits must be 32 or 8, got 4"):
        Task(4)


def test_a_resumed_run_with_eight_bits_is_the_whole_run(train, tmp_path):
    bits = "module.optimizer.bits=8"
    for steps, folder, more in (
        (2, "whole", ()),
        (1, "first", ()),
        (2, "second", ("resume=first/checkpoints/last.ckpt",)),
    ):
        done = train("stage1", bits, f"trainer.max_steps={steps}", f"hydra.run.dir={folder}", *more)
        assert done.code == 0, done.err
    whole, second = (
        torch.load(tmp_path / folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in ("whole", "second")
    )
    assert all(torch.equal(weight, second[name]) for name, weight in whole.items())
