"""Tests of manifests: format, fingerprints, damage, and checks before a set is continued."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.degrade.manifest import WIDTH, Entry, Manifest, read
from dcvsr.runtime.errors import UserError
from tests.degradation.making import configured, rng

PATH = Path("lr/manifest.json")


def entry(**scores: float | None) -> Entry:
    params = configured("realbasicvsr").draw(rng(), (3, 3, 32, 48))
    return Entry("été, 雪.mp4", 3, (48, 32), (12, 8), params, "f" * 64, "0" * 64, scores)


def manifest(**changes: Any) -> Manifest:
    clips = {"a b": entry(psnr=0.1 + 0.2), "雪": entry(psnr=None)}
    usual = Manifest(2**40, "light", {"factor": 4, "steps": {"x": None}}, ("psnr",), {"torch": "2"}, clips)
    return replace(usual, **changes)


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    manifest().write(tmp_path / "manifest.json")
    assert read(tmp_path / "manifest.json") == manifest()
    assert read(tmp_path / "manifest.json").text() == manifest().text()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_any_settings_are_written_as_json(content: dict[str, Any]) -> None:
    assert json.loads(Manifest(0, "light", content).text())["settings"] == content


def test_lines_are_short_enough_to_read() -> None:
    """Small dicts are on one line, large ones on several."""
    lines = manifest().text().splitlines()
    assert max(map(len, lines)) < 1.2 * WIDTH
    assert any('"start"' in line and '"seed"' in line for line in lines)


def test_clips_are_sorted_whatever_the_order_of_adding() -> None:
    first, second = entry(psnr=1.0), entry(psnr=2.0)
    none = manifest(clips={})
    assert none.with_clip("a", first).with_clip("b", second).text() == (
        none.with_clip("b", second).with_clip("a", first).text()
    )
    assert none == manifest(clips={})


@given(st.lists(st.floats(0, 99), min_size=1))
def test_the_fingerprint_is_the_mean_over_clips(scores: list[float]) -> None:
    clips = {str(number): entry(psnr=score) for number, score in enumerate(scores)}
    found = manifest(clips=clips).fingerprint["psnr"]
    assert found == pytest.approx(sum(scores) / len(scores))
    assert manifest(clips={**clips, "flat": entry(psnr=None)}).fingerprint == {"psnr": None}


def test_continuing_a_set_with_another_recipe_is_an_error() -> None:
    recipe = manifest(clips={}, versions={})
    manifest().require_recipe(recipe, PATH)
    for other, message in (
        (replace(recipe, seed=1), f"lr/manifest.json has seed={2**40}, not 1; name another output"),
        (
            replace(recipe, settings={"factor": 2, "steps": {"x": None}}),
            r"factor \(4 in the manifest, 2 here\); set",
        ),
        (
            replace(recipe, settings={"factor": 4, "steps": {"x": {"y": 1}}}),
            r"steps.x \(null in the manifest, {...} h",
        ),
        (
            replace(recipe, settings={}),
            r"factor \(4 in the manifest, null here\), steps \({...} in the manifest, null here\); set",
        ),
        (
            replace(recipe, settings={"a": 1, "b": 2}),
            r"factor .*, steps .* and 2 more; set them as in the manifest",
        ),
        (replace(recipe, metrics=()), "has fingerprints by psnr, not by no metrics; name another output"),
    ):
        with pytest.raises(UserError, match=message):
            manifest().require_recipe(other, PATH)


def test_continuing_a_set_with_other_software_is_an_error() -> None:
    manifest().require_versions(manifest(clips={}), PATH)
    with pytest.raises(
        UserError,
        match="other software: torch 2 in the manifest, 3 here, av none in the manifest, 1 here; continue",
    ):
        manifest().require_versions(manifest(versions={"torch": "3", "av": "1"}), PATH)


@pytest.mark.parametrize("lost", ["seed", "settings", "metrics", "versions", "clips"])
def test_a_missing_key_is_an_error_that_names_it(tmp_path: Path, lost: str) -> None:
    content = json.loads(manifest().text())
    del content[lost]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"is a damaged manifest \\('{lost}'\\)"):
        read(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    "damage",
    [
        {"clips": []},
        {"clips": {"a": None}},
        {"clips": {"a": {}}},
        {"metrics": 3},
        {"clips": {"a": {"size": 1}}},
    ],
)
def test_a_damaged_manifest_is_a_one_line_error(tmp_path: Path, damage: dict[str, Any]) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(json.loads(manifest().text()) | damage))
    with pytest.raises(UserError, match="is a damaged manifest"):
        read(tmp_path / "manifest.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "dcvsr LR set 2"}'])
def test_other_json_is_not_a_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="is not a manifest of an LR set"):
        read(tmp_path / "manifest.json")
