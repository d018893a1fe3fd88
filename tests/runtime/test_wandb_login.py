"""wandb online: what is checked before the work."""

from pathlib import Path

import pytest
import wandb
from wandb.errors import CommError

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.wandb_login import require_login, wandb_errors
from tests.conftest import TINY

ONLINE = {"project": "dcvsr", "offline": False}
NO_KEY = "dcvsr: wandb has no key: wandb login, or wandb=offline\n"


@pytest.fixture(autouse=True)
def without_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who never logged in."""
    for name in ("HOME", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", ["evaluate", "train", "report"])
def test_wandb_without_a_key_is_refused_before_the_work(command, run, tmp_path):
    arguments = {
        "evaluate": ["upscaler=bicubic", *TINY, "metrics=fidelity", "hydra.run.dir=run"],
        "train": ["+experiment=stage1", *TINY, "metrics=fidelity", "hydra.run.dir=run"],
        "report": ["settings=[none.json]", "output=page.html"],
    }
    done = run(command, *arguments[command], "wandb=online")
    assert (done.code, done.err) == (2, NO_KEY)
    found = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()}
    assert found <= {("run", ".hydra"), ("run", f"{command}.log"), ("run", "lock")}


def test_a_server_that_does_not_answer_is_one_line(monkeypatch):
    def refused(timeout: int) -> None:
        raise CommError("Failed to verify: refused.\nConsider a longer timeout")

    monkeypatch.setattr(wandb, "Api", refused)
    with pytest.raises(UserError, match=r"^wandb: Failed to verify: refused; check the network .*offline$"):
        require_login(ONLINE)


@pytest.mark.parametrize("logger", [None, {}, ONLINE | {"offline": True}])
def test_a_logger_that_sends_nothing_needs_no_key(logger):
    require_login(logger)


def test_wandb_turned_off_by_its_variable_needs_no_key(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    require_login(ONLINE)


def test_an_error_of_wandb_on_the_way_is_one_line():
    with (
        pytest.raises(UserError, match=r"^wandb: Timed out; the scores are kept$"),
        wandb_errors("the scores are kept"),
    ):
        raise CommError("Timed out.\nConsider a longer timeout")
