"""The file metrics.csv of a run, which a resumed run continues."""

import csv
import io
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loggers.logger import rank_zero_experiment
from typing_extensions import override

from dcvsr.runtime.files import write_whole

NAME = "metrics.csv"


class MetricsFile(CSVLogger):
    """Lightning's metrics.csv, appended to where it exists; Lightning's own logger would delete it."""

    @property
    @rank_zero_experiment
    @override
    def experiment(self) -> Any:
        if self._experiment is None:
            os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = _Rows(self.log_dir)
        return self._experiment


class _Rows(ExperimentWriter):
    """Rows of metrics.csv; a new column rewrites the file whole."""

    @override
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open(newline="") as rows:
                self.metrics_keys = next(csv.reader(rows), [])

    @override
    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        file = Path(self.metrics_file_path)
        with file.open(newline="") as rows:
            write_whole(file, _table(fieldnames, list(csv.DictReader(rows))))


def carry_metrics(source: Path, folder: Path, step: int) -> None:
    """Give ``folder`` the metrics.csv of the run in ``source``, without the rows from ``step`` on.

    A run that resumes after ``step`` optimizer steps writes these rows again. A last line without an end, of
    a run that was killed while it wrote, is left out.
    """
    try:
        text = (source / NAME).read_text()
    except FileNotFoundError:
        return
    whole, _, _ = text.rpartition("\n")
    reader = csv.DictReader(io.StringIO(whole))
    kept = [row for row in reader if int(row["step"]) < step]
    if kept:
        write_whole(folder / NAME, _table(list(reader.fieldnames or []), kept))
    else:
        (folder / NAME).unlink(missing_ok=True)


def _table(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
