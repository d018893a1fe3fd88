"""Files beside an upscaled video have names of their own and replace nothing of a user's."""

import json
import os

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.upscaling.output_files import report_path, require_free_names, table_path

BICUBIC = ("upscale", "upscaler=bicubic")


def test_a_file_named_like_the_output_stays_and_two_outputs_have_two_reports(run, clip, tmp_path):
    mine = tmp_path / "a.json"
    mine.write_text('{"mine": 1}')
    for output in ("a.mp4", "a.mkv", "a.mp4"):  # the last replaces its own report
        done = run(*BICUBIC, f"input={clip}", f"output={output}")
        assert done.code == 0, done.err
    assert mine.read_text() == '{"mine": 1}'
    for name in ("a.mp4", "a.mkv"):
        assert json.loads((tmp_path / f"{name}.json").read_text())["output"] == name


@pytest.mark.parametrize("content", ["", '{"mine": 1}', "[1]", "\xff"])
def test_a_file_that_is_not_a_report_is_not_replaced(run, clip, tmp_path, content):
    (tmp_path / "big.json").write_text(content)
    done = run(*BICUBIC, f"input={clip}", "output=big")
    assert done.code == 2
    assert done.err == "dcvsr: big.json is not an earlier report; move it, or name another output=\n"
    assert (tmp_path / "big.json").read_text() == content
    assert not {"big", "big.part"} & {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize("length", [240, 251, 300])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_name_that_is_too_long_with_what_is_added_to_it_is_refused_at_once(run, tmp_path, letter, length):
    name = letter * (length // len(letter.encode())) + ".mp4"
    done = run(*BICUBIC, "input=none.mp4", f"output={name}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"the name {name}" in done.err
    assert "is too long for .; give a shorter output=" in done.err


def test_the_longest_name_that_is_taken_can_be_written(tmp_path):
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    for length in range(most - 40, most):
        output = tmp_path / ("x" * length)
        try:
            require_free_names(output, ["attention"])
        except UserError:
            break
        for path in (report_path(output), table_path(output, "attention"), tmp_path / f"{output.name}.part"):
            path.touch()
            path.unlink()
    else:
        pytest.fail("no name was too long")


def test_a_folder_that_is_not_of_a_job_is_not_touched(run, clip, tmp_path):
    """Deleting the folder of a job deletes all that it holds."""
    (tmp_path / "b.mp4.part").mkdir()
    (tmp_path / "b.mp4.part/mine").touch()
    done = run(*BICUBIC, f"input={clip}", "output=b.mp4")
    assert done.code == 2
    assert done.err == "dcvsr: b.mp4.part is not the folder of a job; move it, or name another output=\n"
    assert [file.name for file in (tmp_path / "b.mp4.part").iterdir()] == ["mine"]
