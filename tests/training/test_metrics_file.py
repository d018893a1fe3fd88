"""metrics.csv of a run that is resumed."""

from pathlib import Path

import pytest

from dcvsr.training.metrics_file import MetricsFile, carry_metrics

HEADER, ROWS = "epoch,step,train/loss\n", ["0,0,3.5\n", "0,1,2.5\n", "0,1,\n", "0,12,1.5\n"]


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (1, 1), (2, 3), (12, 3), (13, 4)])
def test_rows_of_steps_that_are_done_again_are_left_out(tmp_path: Path, step: int, kept: int) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/metrics.csv").write_text(HEADER + "".join(ROWS))
    carry_metrics(tmp_path / "old", tmp_path / "new", step)
    new = tmp_path / "new/metrics.csv"
    assert (new.read_text() if new.is_file() else HEADER) == HEADER + "".join(ROWS[:kept])


def test_half_a_row_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    """Its step would be 1, and is 12."""
    (tmp_path / "metrics.csv").write_text("loss,step\n3,0\n2,1")
    carry_metrics(tmp_path, tmp_path, 3)
    assert (tmp_path / "metrics.csv").read_text() == "loss,step\n3,0\n"


def test_new_rows_and_columns_join_those_that_are_there(tmp_path: Path) -> None:
    first = MetricsFile(str(tmp_path), name="", version="")
    first.log_metrics({"a": 1.0}, step=0)
    first.save()
    again = MetricsFile(str(tmp_path), name="", version="")
    again.log_metrics({"a": 2.0}, step=1)
    again.save()
    again.log_metrics({"b": 3.0}, step=2)
    again.save()
    assert (tmp_path / "metrics.csv").read_text().split() == ["a,b,step", "1.0,,0", "2.0,,1", ",3.0,2"]
