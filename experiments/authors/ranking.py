"""Ranking of readings by the distance of their results to the authors' result, and its table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]
"""``reading``, ``seed``, ``scores`` by metric, ``colour`` of R, G, B, ``pixels`` (a hash) and ``seconds``."""

COLUMNS = {
    "psnr": "PSNR ↑",
    "lpips": "LPIPS ↓",
    "dists": "DISTS ↓",
    "edge_sharpness": "sharpness (1)",
    "colour": "colour R G B (0)",
}
"""Measures of the distance to the authors' result -> title, with an arrow or the value of an equal clip."""

SCORES = tuple(COLUMNS)[:-1]

CSV = ("reading", "seed", *SCORES, "red", "green", "blue", "mean_rank", "against_default", "seconds")

NOTE = """\
Each row is the default with one reading changed. docs/paper_notes.md explains the readings. All values
compare a result with the authors'. Sharpness is the ratio of the gradients at the authors' edges. Colour is
the mean difference of each channel, in levels of 255. The mean rank averages the ranks by these measures, and
sorts the rows. The distance of sharpness is |ln ratio|, and that of colour its largest channel.

`~` marks a difference to the default that is at most the spread of the default over seeds. The authors' seed
is unknown, so only larger differences say something about a reading. PSNR alone prefers smooth results. A
reading is settled where LPIPS, DISTS and sharpness agree, on several clips. PSNR ends at 60 dB.

Readings are tried one at a time. Adopt the best one with `+alternative=NAME` and run again: the others are
then compared with it.
"""

LEAST_RATIO = 1e-6
"""Ratio of sharpness that a clip without any gradient counts as."""


@dataclass(frozen=True)
class Row:
    """A result in the ranking.

    Attributes:
        result: of the reading.
        mean_rank: mean of its ranks by each measure; None for further seeds of the default.
        verdict: comparison with the default.
        within: measures by which it differs from the default by no more than the spread; none for pixels
            that equal the default's or the authors'.
    """

    result: Result
    mean_rank: float | None
    verdict: str
    within: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ranking:
    """Rows, closest to the authors' result first, and the default's further seeds.

    Attributes:
        rows: one per reading.
        others: further seeds of the default.
        spread: largest less smallest distance over the default's seeds, by measure; empty for one seed.
    """

    rows: Sequence[Row]
    others: Sequence[Row]
    spread: Mapping[str, float]


def distances(result: Result) -> dict[str, float]:
    """Return the distance to the authors' result by measure: less is closer. Unknown ones are missing."""
    scores = {name: value for name, value in result["scores"].items() if value is not None}
    found = {name: scores[name] for name in SCORES if name in scores}
    if "psnr" in found:
        found["psnr"] *= -1
    if "edge_sharpness" in found:
        found["edge_sharpness"] = abs(math.log(max(found["edge_sharpness"], LEAST_RATIO)))
    return {**found, "colour": max(map(abs, result["colour"]))}


def ranking(results: Sequence[Result], authors: str) -> Ranking:
    """Rank ``results``, which begin with the default's seeds, by their mean rank, then by PSNR.

    Args:
        results: the default with each seed, then each reading with the first seed.
        authors: hash of the authors' pixels.
    """
    seeds = [result for result in results if result["reading"] == "default"]
    ranked = [seeds[0], *results[len(seeds) :]]
    known, of_seeds = ([distances(result) for result in some] for some in (ranked, seeds))
    measures = [name for name in COLUMNS if all(name in found for found in [*known, *of_seeds])]
    spread = {}
    for name in measures if len(seeds) > 1 else ():
        values = [found[name] for found in of_seeds]
        spread[name] = max(values) - min(values)
    rows = []
    for result, found in zip(ranked, known, strict=True):
        ranks = [1 + sum(other[name] < found[name] for other in known) for name in measures]
        differences = {name: found[name] - known[0][name] for name in measures}
        is_equal = result["pixels"] in (authors, seeds[0]["pixels"])
        within = frozenset(name for name in spread if not is_equal and abs(differences[name]) <= spread[name])
        said = verdict(result, ranked[0], authors, differences, within)
        rows.append(Row(result, sum(ranks) / len(ranks), said, within))
    first = "psnr" if "psnr" in measures else "colour"
    order = sorted(rows, key=lambda row: (row.mean_rank, distances(row.result)[first]))
    return Ranking(order, [Row(result, None, f"seed {result['seed']}") for result in seeds[1:]], spread)


def verdict(
    result: Result, default: Result, authors: str, differences: Mapping[str, float], within: frozenset[str]
) -> str:
    """Compare a result with the default: closer or farther beyond the spread, by which measures."""
    said = ["default"] if result is default else []
    if result["pixels"] == authors:
        said.append("equals the authors' pixels")
    elif result is not default and result["pixels"] == default["pixels"]:
        said.append("same pixels as the default")
    if said:
        return ", ".join(said)
    if within == differences.keys():
        return "within noise"
    beyond = {name: change for name, change in differences.items() if name not in within and change}
    closer = [name for name, change in beyond.items() if change < 0]
    farther = [name for name, change in beyond.items() if change > 0]
    parts = {"closer": closer, "farther": farther}
    return "; ".join(f"{part}: {' '.join(names)}" for part, names in parts.items() if names)


def csv_rows(found: Ranking) -> list[list[object]]:
    """Return the rows under `CSV`; unknown values are empty."""
    return [
        [
            row.result["reading"],
            row.result["seed"],
            *(row.result["scores"].get(name) for name in SCORES),
            *row.result["colour"],
            row.mean_rank,
            row.verdict,
            row.result["seconds"],
        ]
        for row in (*found.rows, *found.others)
    ]


def markdown(found: Ranking, title: str, report: Mapping[str, Any]) -> str:
    """Format the ranking as Markdown; ``report`` is the JSON without it."""
    head = ["", "reading", *COLUMNS.values(), "mean rank", "against the default"]
    lines = [head, ["---"] * len(head)]
    for number, row in enumerate(found.rows, 1):
        lines.append([str(number), *_cells(row), f"{row.mean_rank:.1f}", row.verdict])
    lines += [["", *_cells(row), "", row.verdict] for row in found.others]
    if found.spread:
        spread = (f"{found.spread[name]:.4f}" if name in found.spread else "-" for name in COLUMNS)
        lines.append(["", "spread over seeds", *spread, "", "of the distances"])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    facts = "\n".join(f"- {fact}" for fact in _facts(report))
    return f"# {title}\n\n{facts}\n\n{table}\n\n{NOTE}"


def _cells(row: Row) -> list[str]:
    cells = [str(row.result["reading"])]
    for name in COLUMNS:
        value = row.result["scores"].get(name)
        if name == "colour":
            text = " ".join(f"{offset:+z.2f}" for offset in row.result["colour"])
        elif value is None:
            text = "-"
        else:
            text = f"{value:z.2f}" if name == "psnr" else f"{value:z.4f}"
        cells.append(f"{text} ~" if name in row.within else text)
    return cells


def _facts(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the facts of the run that the table is read with, a line each."""
    lr, sr, weights, seeds = (report[key] for key in ("lr", "sr", "weights", "seeds"))
    sizes = " to ".join("x".join(map(str, clip["size"])) for clip in (lr, sr))
    yield f"`{report['command']}` at commit {report['commit'] or 'unknown'}"
    yield f"LR {lr['path']}, the authors' result {sr['path']}: {lr['frames']} frames, {sizes}"
    yield f"weights: {weights['file'] if weights else 'none'}"
    yield f"seeds of the default: {', '.join(map(str, seeds))}; readings have the first"
    if len(seeds) == 1:
        yield "the spread over seeds is unknown (seeds=1), so no difference is marked as noise"
    if not sr["lossless"]:
        yield f"{sr['path']} is not a folder of PNG: what its compression lost adds to every distance"
    for name, reason in report["missing"].items():
        yield f"{name} has no values: {reason}"
    for name, reason in report["left_out"].items():
        yield f"{name} is left out: {reason}"
