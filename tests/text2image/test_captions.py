"""Captions read from files."""

import json
from pathlib import Path

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.captions import drawn, repeated

TEXTS = ["one dog", "two", "three", "four"]


def test_a_larger_count_appends_captions_until_all_are_used(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    path.write_text("one  dog\ntwo\n\n three\nfour\n")
    assert drawn(str(path), 2, seed=5) == drawn(str(path), 4, seed=5)[:2]
    assert sorted(drawn(str(path), 4, seed=5)) == sorted(TEXTS)
    assert drawn(str(path), 4, seed=5) != drawn(str(path), 4, seed=6)


def test_coco_json_and_text_files_give_the_same_captions(tmp_path: Path) -> None:
    annotations = [{"image_id": i, "id": i, "caption": f"{text}\n"} for i, text in enumerate(TEXTS)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": [], "annotations": annotations}))
    (tmp_path / "captions.txt").write_text("\n".join(TEXTS))
    assert drawn(str(tmp_path / "captions.json"), 4, 0) == drawn(str(tmp_path / "captions.txt"), 4, 0)


@pytest.mark.parametrize("content", ["[]", "{}", '{"annotations": [{"text": "a"}]}', '{"annotations": [1]}'])
def test_other_json_files_are_rejected(content: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(UserError, match=r"list.json is not a captions file of COCO"):
        drawn(str(tmp_path / "list.json"), 1, 0)


def test_too_few_captions_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("one\n\n")
    with pytest.raises(UserError, match=r"has 1 captions, 2 are needed; lower captions.count"):
        drawn(str(tmp_path / "captions.txt"), 2, 0)


def test_repeated_captions_keep_their_order() -> None:
    assert repeated(["a", "b"], 5) == ["a", "b", "a", "b", "a"]
