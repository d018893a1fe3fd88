"""Mutation test: how many small errors in the method and in its numbers the tests notice.

A mutant differs from the source in one number, comparison, operator or boolean. It is killed if one of its
module's tests fails. One that survives is a gap in the tests, or equivalent to the source. The tests of
a mutant run in a forked process, which spares them the imports of torch and its companions.

    make mutants, or python -m tests.mutants --per 20 --json outputs/mutants.jsonl

The sample depends on the seed and on the text of the sampled lines alone, so that two versions of the source
are compared on the same mutants where their code is the same.
"""

import argparse
import ast
import contextlib
import gc
import hashlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

TREE = Path(__file__).resolve().parents[1]
PACKAGES = ("diffusion", "attention", "tiling", "training", "models")
RECIPES = {
    "svd": (
        "data/reds degradation/realbasicvsr experiment/stage1 experiment/stage2 guidance/cfg guidance/dssag "
        "model/svd module/svd propagation/dcvsr sampler/svd tile/svd train trainer/single upscaler/dcvsr "
        "upscale"
    ),
    "nano": (
        "data/packaged degradation/light ema/nano experiment/nano_stage1 experiment/nano_stage2 model/nano "
        "module/nano sampler/nano tile/nano"
    ),
}
"""Files of conf/ with the numbers of each scale."""
OF_CONF = ["tests/test_recipe.py", "tests/test_recipe_nano.py", "tests/models/test_svd.py"]
OF_DEGRADATION = ["tests/test_recipe.py", "tests/degradation/test_pipeline.py"]

CPU_SECONDS, WALL_SECONDS = 90, 400
"""Limits of the tests of one mutant; what exceeds them counts as killed."""

OPERATORS = {
    **{ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")},
    **{ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is")},
    **{ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and")},
    **{ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")},
    **{ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "+"), ast.Pow: ("**", "*")},
}
"""Kind of node -> operator and its replacement."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the bytes ``start`` to ``end`` become ``new``."""

    group: str
    file: str
    start: int
    end: int
    new: str
    line: str

    def place(self, seed: int) -> str:
        """Place in the sample, at random."""
        return hashlib.sha256(f"{seed}/{self.file}/{self.line}/{self.new}".encode()).hexdigest()


def main() -> None:
    given = _arguments()
    mutants = sampled(TREE, given.per, given.seed)
    _import_what_tests_need()
    outcomes: dict[str, Counter[str]] = {mutant.group: Counter() for mutant in mutants}
    Path(given.json).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Path(given.json).open("w") as report:
        copy = Path(scratch, "tree")
        shutil.copytree(
            TREE, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "outputs", "__pycache__")
        )
        for mutant in mutants:
            outcome, by, seconds = _tried(mutant, copy, Path(scratch))
            outcomes[mutant.group][outcome] += 1
            print(
                f"{outcome:9}{seconds:4.0f} s  {mutant.file}: {mutant.line} -> {mutant.new} {by}", flush=True
            )
            print(json.dumps({**asdict(mutant), "outcome": outcome, "by": by}), file=report, flush=True)
    for group, counts in outcomes.items():
        print(f"{group:10} {counts.total():4} mutants, {counts['survived']:3} survive")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--per", type=int, default=20, help="mutants of each package and recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", default="outputs/mutants.jsonl", help="report, one line a mutant")
    return parser.parse_args()


def sampled(tree: Path, per: int, seed: int) -> list[Mutant]:
    """At most one mutant a line, ``per`` of each package and recipe, a quarter of a recipe's in one file."""
    groups = {name: sorted((tree / "dcvsr" / name).glob("*.py")) for name in PACKAGES}
    groups |= {
        name: [tree / f"conf/{file}.yaml" for file in files.split()] for name, files in RECIPES.items()
    }
    sample = []
    for name, files in groups.items():
        lines: dict[tuple[str, str], Mutant] = {}
        for mutant in (mutant for file in files for mutant in _mutants(name, file, tree)):
            at = mutant.file, mutant.line
            lines[at] = min(mutant, lines.get(at, mutant), key=lambda m: m.place(seed))
        taken: Counter[str] = Counter()
        for mutant in sorted(lines.values(), key=lambda m: m.place(seed)):
            taken[mutant.file] += 1
            if taken[mutant.file] <= (max(1, per // 4) if name in RECIPES else per) and taken["all"] < per:
                taken["all"] += 1
                sample.append(mutant)
    return sample


def _mutants(group: str, file: Path, tree: Path) -> Iterator[Mutant]:
    source = file.read_bytes()
    for start, end, new in (_in_python if file.suffix == ".py" else _in_yaml)(source):
        line = source[source.rfind(b"\n", 0, start) + 1 : source.find(b"\n", start)].decode().strip()
        yield Mutant(group, str(file.relative_to(tree)), start, end, new, line)


def _in_yaml(source: bytes) -> Iterator[tuple[int, int, str]]:
    """Numbers and booleans that are values."""
    text = source.decode()
    for node in _scalars(yaml.compose(text)):
        old, start = node.value, len(text[: node.start_mark.index].encode())
        if node.tag.endswith((":int", ":float")):
            yield start, start + len(old), _other(float(old.replace(".inf", "inf")), old)
        elif node.tag.endswith(":bool"):
            yield start, start + len(old), "false" if old == "true" else "true"


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif node is not None:
        for part in node.value:
            yield from _scalars(part[1] if isinstance(part, tuple) else part)


def _other(value: float, text: str) -> str:
    """Another number: one more of a count or an index, twice a measure."""
    if value in (0, float("inf")):
        return "1"
    return str(int(value) + 1) if text.isdigit() else repr(2 * value)


def _in_python(source: bytes) -> Iterator[tuple[int, int, str]]:
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))

    def start(node: Any) -> int:
        return offsets[node.lineno - 1] + node.col_offset

    def end(node: Any) -> int:
        return offsets[node.end_lineno - 1] + node.end_col_offset

    for node in _computed(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield start(node), end(node), str(not node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield start(node), end(node), _other(node.value, source[start(node) : end(node)].decode())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield start(node), start(node.operand), ""
        for kind, left, right in _operations(node):
            old, new = OPERATORS.get(kind, ("", ""))
            found = re.search(
                r"\s+".join(map(re.escape, old.split())).encode(), source[end(left) : start(right)]
            )
            if old and found:
                yield end(left) + found.start(), end(left) + found.end(), new


def _operations(node: ast.AST) -> Iterator[tuple[type, ast.expr, ast.expr]]:
    """Kind, left and right side of a node's operators."""
    if isinstance(node, ast.BinOp):
        yield type(node.op), node.left, node.right
    elif isinstance(node, ast.BoolOp):
        yield from ((type(node.op), *two) for two in zip(node.values, node.values[1:], strict=False))
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        yield from ((type(op), *two) for op, *two in zip(node.ops, sides, sides[1:], strict=False))


def _computed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that a run evaluates: no annotations, messages or f-strings."""
    yield node
    for field, child in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "msg"):
            for part in child if isinstance(child, list) else [child]:
                if isinstance(part, ast.AST) and not isinstance(part, ast.JoinedStr | ast.Raise):
                    yield from _computed(part)


def tests_of(tree: Path, file: str) -> list[str]:
    """Test files of a configuration, or of a module: its mirror, and up to three that name it."""
    if file.startswith("conf/"):
        own = OF_DEGRADATION if file.startswith("conf/degradation") else OF_CONF
    else:
        package, module = Path(file).parts[1], file.removesuffix(".py").replace("/", ".")
        every = [
            str(test.relative_to(tree))
            for name in dict.fromkeys((package, *PACKAGES))
            for test in sorted((tree / "tests" / name).glob("test_*.py"))
        ]
        naming = [test for test in every if re.search(rf"\b{re.escape(module)}\b", (tree / test).read_text())]
        of_package = [test for test in every if f"/{package}/" in test]
        own = [f"tests/{package}/test_{Path(file).stem}.py", *(naming or of_package)][:4]
    return [test for test in dict.fromkeys(own) if (tree / test).exists()]


def _tried(mutant: Mutant, copy: Path, scratch: Path) -> tuple[str, str, float]:
    """Outcome, the first test that failed, and the seconds that the tests took of a processor."""
    file = copy / mutant.file
    source = file.read_bytes()
    file.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
    try:
        return _tested(copy, tests_of(copy, mutant.file), scratch / "log")
    finally:
        file.write_bytes(source)


def _tested(copy: Path, tests: Sequence[str], log: Path) -> tuple[str, str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        _become_pytest(copy, tests, log)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(WALL_SECONDS)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if os.WIFSIGNALED(status):
        return "timeout", f"signal {os.WTERMSIG(status)}", seconds
    code, text = os.WEXITSTATUS(status), log.read_text(errors="replace")
    if code not in (0, 1, 2):
        sys.exit(f"pytest ended with {code}:\n{text}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    return "survived" if code == 0 else "killed", failed[1] if failed else "", seconds


def _become_pytest(copy: Path, tests: Sequence[str], log: Path) -> None:
    """Run pytest in a forked process, which ends with it."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    examples = str(log.with_name("examples"))
    shutil.rmtree(examples, ignore_errors=True)  # what another mutant failed on
    os.environ |= {"PYTHONPATH": str(copy), "HYPOTHESIS_STORAGE_DIRECTORY": examples}
    code = importlib.import_module("pytest").main(
        ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    )
    sys.stdout.flush()
    os._exit(code)


def _import_what_tests_need() -> None:
    """Import what is slow but dcvsr itself, whose modules differ from mutant to mutant."""
    sys.dont_write_bytecode = True  # a stale .pyc of the same second and size would hide a mutant
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() not in (TREE, TREE / "tests")]
    for name in (
        *(
            "torch",
            "torchvision",
            "torchmetrics",
            "lightning.pytorch",
            "hydra",
            "kornia",
            "einops",
            "greenlet",
        ),
        *(
            "av",
            "cv2",
            "PIL.Image",
            "scipy.stats",
            "pytest",
            "hypothesis",
            "transformers",
            "safetensors.torch",
        ),
        *(
            "torch.utils.flop_counter",
            "torch._dynamo",
            "diffusers.models.unets.unet_spatio_temporal_condition",
        ),
        "diffusers.models.autoencoders.autoencoder_kl_temporal_decoder",
        "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion",
    ):
        importlib.import_module(name)
    sys.modules.pop("tests", None)
    assert not any(name.partition(".")[0] == "dcvsr" for name in sys.modules)
    gc.freeze()


if __name__ == "__main__":
    main()
