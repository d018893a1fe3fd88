"""Tables: best and second as far as they print, the paper's order and values, noise called noise."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy import stats

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.report.column import MARK, NOISE, Cell
from dcvsr.report.runs import Weights
from dcvsr.report.table import tables
from dcvsr.report.table_files import comma_separated, latex, markdown
from dcvsr.runtime.cli import CONF
from tests.report.making import cells, run

PAPER = Paper("Table 9", ["bicubic", "other", "dcvsr"], ["psnr", "musiq"], {"X": {"psnr": [25.9, 24, 25.1]}})


def test_what_prints_alike_is_equally_good() -> None:
    scores = {"a": 0.123401, "b": 0.123399, "c": 0.2, "d": 0.3}
    [table] = tables([run(name, lpips=[value]) for name, value in scores.items()])
    assert [row.cells[0].rank for row in table.rows] == [1, 1, 2, 0]
    assert table.columns == ["LPIPS ↓"]


def test_a_metric_that_one_run_lacks_leaves_its_cell_empty() -> None:
    [table] = tables([run("a", psnr=[30.0]), run("b", psnr=[31.0], ssim=[0.9])])
    assert cells(table, "a")["SSIM"] == Cell("-")
    assert cells(table, "b")["SSIM"].rank == 0


def test_rows_are_compared_on_the_clips_where_all_have_a_score() -> None:
    [table] = tables(
        [run("dcvsr", seams=[0.5, None]), run("b", seams=[0.4, 0.7]), run("c", psnr=[30.0, 30.0])]
    )
    assert [cells(table, label)["SEAMS"].text for label in ("dcvsr", "b", "c")] == ["0.5000", "0.4000", "-"]
    assert cells(table, "b")["SEAMS"].difference.startswith("+0.1000")
    [table] = tables([run("dcvsr", seams=[None]), run("b", seams=[0.4])])
    assert [row.cells[0].text for row in table.rows] == ["-", "0.4000"]


def test_a_clip_without_a_score_for_one_seed_is_left_out() -> None:
    [table] = tables([run("dcvsr", 0, seams=[0.5, 0.1]), run("dcvsr", 1, seams=[0.7, None])])
    assert table.rows[0].cells[0].text == "0.6000 ± 0.1414"


def test_a_column_of_fewer_clips_than_the_table_says_so() -> None:
    """An infinite PSNR took a clip from the mean of every row without a word."""
    runs = [run("dcvsr", psnr=[30.0, 31.0, 32.0], lpips=[0.1, 0.2, 0.3]), run("b", psnr=[30.0, None, 33.0])]
    [table] = tables(runs)
    assert (cells(table, "dcvsr")["PSNR"].text, table.averaged) == ("31.00", [2, 3])
    note = "PSNR averages 2 of 3 clips: some row has no score on clip1."
    assert table.note == note
    assert note in markdown([table])
    assert f"% {note}" in latex([table])
    assert "X,dcvsr,PSNR,31.00,,,,2,1," in comma_separated([table])


def test_columns_over_all_clips_need_no_note() -> None:
    [table] = tables([run("dcvsr", psnr=[30.0, 31.0]), run("b", lpips=[0.1, 0.2])])
    assert (table.note, table.averaged) == ("", [2, 2])


def test_where_no_clip_has_a_score_in_every_row_the_table_says_so() -> None:
    [table] = tables([run("dcvsr", seams=[0.5, None]), run("b", seams=[None, 0.4])])
    assert [row.cells[0].text for row in table.rows] == ["-", "-"]
    assert table.note == "SEAMS averages 0 of 2 clips: some row has no score on clip0, clip1."


def test_the_paper_s_row_is_found_whatever_the_weights() -> None:
    assert PAPER.row("dcvsr weights=last.ckpt:12345678") == "dcvsr"
    assert PAPER.row("dcvsr weights=last.ckpt:12345678 +table2=other") == "other"


def test_means_over_other_clips_stand_in_another_table() -> None:
    found = tables([run("a", psnr=[30.0]), run("b", psnr=[30.0, 31.0]), run("c", dataset="Y", psnr=[30.0])])
    assert [[row.label for row in table.rows] for table in found] == [["a"], ["b"], ["c"]]


def test_seeds_are_one_row_with_their_spread() -> None:
    [table] = tables([run("dcvsr", seed, psnr=[30.0 + seed, 20.0]) for seed in range(3)])
    [row] = table.rows
    assert (row.cells[0].text, row.seeds) == ("25.50 ± 0.50", 3)


def test_a_difference_inside_the_noise_is_called_so() -> None:
    theirs = {"psnr": [20.0, 25.0, 30.0, 21.0, 26.0], "lpips": [0.4, 0.5, 0.6, 0.4, 0.5]}
    ours = {"psnr": [20.5, 24.8, 29.9, 21.2, 25.9], "lpips": [0.3, 0.38, 0.5, 0.31, 0.39]}
    [table] = tables([run("bicubic", **theirs), run("dcvsr", **ours)])
    for metric, digits, verdict in (("psnr", 2, NOISE), ("lpips", 4, MARK)):
        low, high = stats.ttest_rel(ours[metric], theirs[metric]).confidence_interval()
        shown = f"{(low + high) / 2:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}] {verdict}"
        assert cells(table, "bicubic")[metric.upper()].difference == shown
    assert cells(table, "dcvsr")["LPIPS"] == Cell("0.3760", rank=1)


def test_what_one_comparison_would_show_is_noise_among_many() -> None:
    """The same scores: p = 0.03 alone, ten times as much as one of ten comparisons."""
    nothing = {f"metric{i}": [1.0, 2.0, 3.0, 4.0, 5.0] for i in range(9)}
    gain = [0.1, 0.4, 0.9, 0.3, 0.8]
    alone = stats.ttest_1samp(gain, 0).pvalue
    assert 0.02 < alone < 0.04
    for more, expected in (({}, MARK), (nothing, NOISE)):
        [table] = tables([run("dcvsr", psnr=gain, **more), run("a", psnr=[0.0] * 5, **more)])
        shown = cells(table, "a")["PSNR"]
        assert shown.difference.endswith(expected)
        assert shown.p == pytest.approx(alone * (1 + len(more)))


def test_the_legend_says_what_is_tested_and_in_how_many_comparisons() -> None:
    names = ("dcvsr", "a", "b")
    [table] = tables([run(name, psnr=[1.0, 2.0, 3.0, 4.0, 5.0], seams=[None] * 4 + [1.0]) for name in names])
    for shown in (table.legend, markdown([table])):
        assert "Holm's correction for the 2 comparisons of this table" in shown
        assert "fewer than 5 clips are not tested" in shown
    [few] = tables([run(name, psnr=[1.0, 2.0]) for name in names])
    assert "Holm" not in few.legend
    assert "fewer than 5 clips are not tested" in few.legend


def test_rows_and_columns_come_in_the_paper_s_order_with_its_values() -> None:
    [table] = tables(
        [run("dcvsr", psnr=[25.0], lpips=[0.2]), run("bicubic", psnr=[26.0]), run("new", psnr=[1.0])], PAPER
    )
    assert [row.label for row in table.rows] == ["bicubic", "other", "dcvsr", "new"]
    assert table.columns == ["PSNR ↑", "MUSIQ", "LPIPS ↓"]
    assert [row.cells[0].paper for row in table.rows] == ["25.9", "24", "25.1", ""]
    assert [row.cells[0].text for row in table.rows] == ["26.00", "-", "25.00", "1.00"]
    assert all(row.cells[1] == Cell() for row in table.rows)


def test_other_data_have_none_of_the_paper_s_values() -> None:
    [table] = tables([run("dcvsr", dataset="mine", psnr=[25.0])], PAPER)
    assert not any(cell.paper for row in table.rows for cell in row.cells)
    assert table.note == "The paper reports values for X; they are shown only if data.name is one of these."
    [same] = tables([run("dcvsr", psnr=[25.0])], PAPER)
    assert same.note == ""


def test_a_row_of_table_2_is_found_by_its_setting() -> None:
    paper = Paper("Table 2", ["none", "sap", "sap_tap_sag"], ["psnr"], {})
    rows = [run("dcvsr", settings=(f"+table2={name}",), psnr=[25.0]) for name in ("sap_tap_sag", "sap")]
    [table] = tables([*rows, run("other", settings=("+table2=sap",), psnr=[24.0])], paper)
    assert [row.label for row in table.rows] == [
        "none",
        "dcvsr +table2=sap",
        "dcvsr +table2=sap_tap_sag",
        "other +table2=sap",
    ]


@pytest.mark.parametrize("name", [file.stem for file in Path(CONF, "paper").glob("*.yaml")])
def test_the_paper_s_tables_are_whole(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("report", ["output=a.html", f"+paper={name}"])
    paper = Paper(**OmegaConf.to_container(cfg.paper))  # type: ignore[arg-type]
    assert paper.values
    for columns in paper.values.values():
        assert columns.keys() <= set(paper.columns)
        assert all(len(values) == len(paper.rows) for values in columns.values())


def test_all_formats_show_every_row_and_mark_the_best() -> None:
    found = tables([run("bicubic", psnr=[26.0]), run("a_b", psnr=[25.0]), run("dcvsr", psnr=[24.0])], PAPER)
    assert "| bicubic | **26.00** (25.9) | - | 1 | 8 | 2 |" in markdown(found)
    assert "dcvsr minus each other row, paired clip by clip" in markdown(found)
    assert r"bicubic & \textbf{26.00} (25.9) & - \\" in latex(found)
    assert r"a\_b & \underline{25.00} & - \\" in latex(found)
    assert r" & PSNR $\uparrow$ & MUSIQ \\" in latex(found)
    assert "X,bicubic,PSNR,26.00,25.9,-2.00 (too few clips: 1),,1,1," in comma_separated(found).splitlines()


def test_four_clips_have_no_interval_however_many_their_seeds() -> None:
    runs = [run("dcvsr", seed, psnr=[30.0 + seed, 31.0, 30.0, 31.0]) for seed in range(9)]
    [table] = tables([*runs, run("bicubic", psnr=[20.0] * 4)])
    assert cells(table, "bicubic")["PSNR"].difference == "+11.50 (too few clips: 4)"


def test_both_texts_mark_what_stands_and_csv_has_its_p_value() -> None:
    [table] = tables([run("dcvsr", psnr=[1.0, 1.1, 1.2, 1.1, 1.0]), run("bicubic", psnr=[0.0] * 5)])
    assert r"| +1.0800 [+0.9761, +1.1839] \* |" in markdown([table])
    p = stats.ttest_1samp([1.0, 1.1, 1.2, 1.1, 1.0], 0).pvalue
    assert f'X,bicubic,PSNR,0.0000,,"+1.0800 [+0.9761, +1.1839] *",{p:.3g},5,1' in comma_separated([table])


def test_a_score_that_was_a_loss_is_marked_wherever_it_is_shown():
    weights = Weights("a" * 64, "a.ckpt", losses=("l1", "lpips"))
    runs = [
        run("dcvsr", lpips=[0.2, 0.4], psnr=[30, 32], weights=weights),
        run("bicubic", lpips=[0.5, 0.5], psnr=[25, 27]),
    ]
    found = tables(runs)
    for label, lossy in (("dcvsr", True), ("bicubic", False)):
        shown = cells(found[0], next(row.label for row in found[0].rows if row.label.startswith(label)))
        assert (shown["LPIPS"].is_loss, shown["PSNR"].is_loss) == (lossy, False)
    assert "0.3000†" in markdown(found)
    assert "31.00†" not in markdown(found)
    assert r"0.3000$\dagger$" in latex(found)
    assert "† was a loss of the row's training" in markdown(found)
    lines = {tuple(line.split(",")[1:3]): line for line in comma_separated(found).splitlines()}
    assert lines["bicubic", "LPIPS"].endswith(",")
    assert [line.endswith(",yes") for line in lines.values()].count(True) == 1
    assert "†" not in markdown(tables(runs[1:]))
