"""Captioned pictures: the generated scenes, and the photographs of Flickr8k and COCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder.datasets import DatasetDamaged, DatasetError, DatasetMissing, load_dataset
from autograder.datasets.captions import build_vocabulary, decode, encode, words
from autograder.datasets.readers.coco_captions import read_coco
from autograder.datasets.scenes import COLOURS, SHAPES, UNSEEN, VOCABULARY, draw_scenes, grid_features

CARD = Path(__file__).parents[2] / "datasets" / "captioned_scenes" / "card.md"
FIRST_CAPTION = "two blue rings to the left of a small black ring"
MEAN = 0.86381


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- words and numbers


def test_words_lose_case_and_punctuation() -> None:
    assert words("A dog's ball , isn't 2-coloured .") == ["a", "dog's", "ball", "isn't", "2", "coloured"]
    assert words(" .,! ") == []


def test_a_vocabulary_lists_frequent_words_first() -> None:
    captions = [["b", "a", "b"], ["a", "c"], ["b"]]
    assert build_vocabulary(captions, 2) == ("<NULL>", "<START>", "<END>", "<UNK>", "b", "a")
    assert build_vocabulary(captions)[4:] == ("b", "a", "c")


def test_captions_become_numbers_and_words_again() -> None:
    vocabulary = ("<NULL>", "<START>", "<END>", "<UNK>", "a", "dog")
    tokens = encode([[["a", "dog"], ["the", "dog"]], [[], ["a", "a", "a", "a", "dog"]]], vocabulary, 5)
    assert tokens.tolist() == [
        [[1, 4, 5, 2, 0], [1, 3, 5, 2, 0]],
        [[1, 2, 0, 0, 0], [1, 4, 4, 4, 2]],
    ]
    assert decode(tokens[0, 1], vocabulary) == ["<UNK>", "dog"]
    assert decode([4, 5, 2, 4, 4], vocabulary) == ["a", "dog"]  # what follows <END> does not count


# --- scenes


def test_scenes_have_five_captions_as_numbers() -> None:
    data = load_dataset("captioned_scenes", num_train=20, num_test=10)
    assert data.x_train.shape == (20, 3, 48, 48) and data.x_train.dtype == np.float32 and data.embedded
    assert data.y_test.shape == (10, 5, 16) and data.y_test.dtype == np.int64
    assert data.classes == VOCABULARY and len(set(VOCABULARY)) == len(VOCABULARY)
    assert (data.y_train[:, :, 0] == 1).all() and ((data.y_train == 2).sum(axis=2) == 1).all()
    assert not (data.y_train == 3).any()  # every word of the grammar is in the vocabulary
    for captions in data.y_train:
        assert len({caption.tobytes() for caption in captions}) == 5
    levels = data.x_train * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-4


def test_the_scenes_never_change() -> None:
    """Recorded figures in notebooks depend on them: a change of NumPy or of the code must be noticed."""
    data = load_dataset("captioned_scenes", num_train=30, num_test=0)
    assert FIRST_CAPTION in {" ".join(decode(c, data.classes)) for c in data.y_train[0]}
    assert np.mean(data.x_train, dtype=float) == pytest.approx(MEAN, abs=1e-4)


def test_the_first_scenes_do_not_depend_on_how_many_follow() -> None:
    few, many = (load_dataset("captioned_scenes", num_train=n, num_test=3) for n in (3, 9))
    assert np.array_equal(few.x_train, many.x_train[:3]) and np.array_equal(few.y_train, many.y_train[:3])
    other = load_dataset("captioned_scenes", num_train=3, num_test=0, seed=5)
    assert not np.array_equal(few.x_train, other.x_train) and not np.array_equal(few.x_train, few.x_test)


def test_captions_say_what_is_there() -> None:
    drawn = draw_scenes(150, (7, 0))
    for scene in drawn.scenes:
        assert len(scene.captions) == len(set(scene.captions)) == 5
        for caption, mention in zip(scene.captions, scene.mentions, strict=True):
            assert len(caption) == len(mention) and len(caption) + 2 <= 16
            for number, group in enumerate(scene.groups):
                said = [word for word, of in zip(caption, mention, strict=True) if of == number]
                count = len(group.places)
                assert said[0] == ("a", "two", "three")[count - 1]
                assert said[-2] == group.colour and said[-1].startswith(group.shape)
                assert said[-1].endswith("s") == (count > 1 or said[-1] == "cross")
                assert {"small", "little"} & set(said) == set() or group.size == "small"
                assert {"large", "big"} & set(said) == set() or group.size == "large"


def test_relations_are_true_of_the_boxes() -> None:
    relations = []
    for scene in draw_scenes(150, (8, 0)).scenes:
        for group in scene.groups:
            left, top, right, bottom = group.box
            assert -0.01 < left < right < 1.01 and -0.01 < top < bottom < 1.01
        relations.append(scene.relation)
        if scene.relation is None:
            assert len(scene.groups) == 1
            continue
        first, second = (group.box for group in scene.groups)
        axis = 1 if scene.relation == "above" else 0
        assert first[axis + 2] <= second[axis] + 1e-9  # the first one ends where the second begins, or before
        for caption, mention in zip(scene.captions, scene.mentions, strict=True):
            starts_with_first = next(of for of in mention if of >= 0) == 0
            said = set(caption) & {"above", "over", "below", "under", "left", "right"}
            if said:
                words = {"above": ({"above", "over"}, {"below", "under"}), "left": ({"left"}, {"right"})}
                assert (
                    said < words[scene.relation][0 if starts_with_first else 1]
                    or said == {"left"}
                    or (said == {"right"})
                )
                assert ("left" in said) == (scene.relation == "left" and starts_with_first)
            else:
                assert "and" in caption
    assert {None, "above", "left"} == set(relations)


def test_shapes_lie_in_their_box_and_have_their_colour() -> None:
    drawn = draw_scenes(60, (9, 0))
    size = drawn.images.shape[-1]
    for scene, image in zip(drawn.scenes, drawn.images, strict=True):
        outside = np.ones((size, size), dtype=bool)
        for group in scene.groups:
            left, top, right, bottom = (round(edge * size) for edge in group.box)
            outside[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = False
            x, y = group.places[0]
            if group.shape != "ring":
                pixel = image[:, int(y * size), int(x * size)]
                gaps = {name: np.abs(pixel - ink).sum() for name, ink in COLOURS.items()}
                assert min(gaps, key=gaps.__getitem__) == group.colour
        assert image[:, outside].min() > 0.6  # paper


def test_unseen_combinations_are_in_the_unseen_part_only() -> None:
    seen, unseen = draw_scenes(300, (1, 0)), draw_scenes(100, (1, 2), unseen=True)
    pairs = {(group.colour, group.shape) for scene in seen.scenes for group in scene.groups}
    assert pairs == {(c, s) for c in COLOURS for s in SHAPES} - set(UNSEEN)
    for scene in unseen.scenes:
        assert any((group.colour, group.shape) in UNSEEN for group in scene.groups)
    parts = [load_dataset("captioned_scenes", num_train=2, num_test=4, unseen=u) for u in (False, True)]
    assert np.array_equal(parts[0].x_train, parts[1].x_train)
    assert not np.array_equal(parts[0].x_test, parts[1].x_test)


def test_the_number_of_groups_can_be_chosen() -> None:
    for groups in (1, 2):
        assert {len(scene.groups) for scene in draw_scenes(30, (4,), groups=groups, size=36).scenes} == {
            groups
        }


def test_the_card_lists_the_vocabulary() -> None:
    card = words(CARD.read_text(encoding="utf-8"))
    assert set(VOCABULARY[4:]) <= set(card)


def test_features_see_colour_size_and_place() -> None:
    drawn = draw_scenes(120, (3, 0))
    features = grid_features(drawn.images)
    assert features.shape == (120, 16, 6, 6) and features.min() >= 0 and features.max() <= 1
    right = 0
    for scene, maps in zip(drawn.scenes, features, strict=True):
        colours = {list(COLOURS).index(group.colour) for group in scene.groups}
        present = maps[:6].max(axis=(1, 2))
        assert set(np.flatnonzero(present > 0.3)) == colours
        left, top, _, _ = np.array(scene.groups[0].box) * 6
        assert maps[list(COLOURS).index(scene.groups[0].colour)].max() > 0.3 and top >= -0.1 and left >= -0.1
        best = {int(maps[6:].max(axis=(1, 2)).argmax())}
        kinds = {SHAPES.index(g.shape) + 5 * (g.size == "large") for g in scene.groups}
        right += bool(best & kinds)
    assert right >= 110  # the template that matches best is one of a shape that is there


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"size": 24}, "size must be a whole number between 36 and 144"),
        ({"size": 50}, "size must be a multiple of 12"),
        ({"num_train": -1}, "num_train must be a whole number between 0 and 100,000"),
        ({"unseen": 1}, "unseen must be True or False"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load_dataset("captioned_scenes", **options)


# --- photographs


def picture(path: Path, red: int) -> None:
    """A photograph of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels[..., 0] = red
    Image.fromarray(pixels).save(path, format="JPEG", quality=95)


def lay_out_flickr(root: Path) -> Path:
    """Four photographs, two of them to train on."""
    folder = root / "flickr8k"
    lines = []
    for n in range(4):
        picture(folder / "images" / f"{n}.jpg", 60 * n)
        lines += [f"{n}.jpg#{k}\tA Dog runs {'quickly ' * k}." for k in range(5)]
    (folder / "captions.txt").write_text("\n".join(["", *lines, "ghost.jpg#0\tNobody ."]))
    for name, members in (("train", (2, 0)), ("dev", (1,)), ("test", (3,))):
        (folder / f"{name}Images.txt").write_text("".join(f"{n}.jpg\n" for n in members))
    return folder


def test_flickr8k_in_its_lists(empty_root: Path) -> None:
    with pytest.raises(DatasetMissing, match="Flickr8k is not on this machine"):
        load_dataset("flickr8k")
    lay_out_flickr(empty_root)
    data = load_dataset("flickr8k", size=20, length=7, min_count=10)
    assert data.x_train.shape == (2, 3, 20, 20) and data.x_train.dtype == np.uint8
    assert abs(int(data.x_train[0, 0, 9, 9]) - 120) < 4 and abs(int(data.x_test[0, 0, 9, 9]) - 180) < 4
    assert data.classes[4:] == ("quickly", "a", "dog", "runs")
    assert decode(data.y_train[1, 2], data.classes) == ["a", "dog", "runs", "quickly", "quickly"]
    assert data.y_train[1, 4].tolist() == [1, 5, 6, 7, 4, 4, 2]  # cut to seven tokens
    dev = load_dataset("flickr8k", held_out="dev", size=20, num_train=1)
    assert len(dev.x_train) == 1 and abs(int(dev.x_test[0, 0, 9, 9]) - 60) < 4
    with pytest.raises(DatasetError, match="held_out must be 'test' or 'dev'"):
        load_dataset("flickr8k", held_out="train")


def test_flickr8k_words_are_those_of_training_captions(empty_root: Path) -> None:
    folder = lay_out_flickr(empty_root)
    text = (folder / "captions.txt").read_text().replace("3.jpg#0\tA Dog runs", "3.jpg#0\tA Cat runs")
    (folder / "captions.txt").write_text(text)
    data = load_dataset("flickr8k", size=20, min_count=1)
    assert "cat" not in data.classes and decode(data.y_test[0, 0], data.classes) == ["a", "<UNK>", "runs"]


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("captions.txt", "no tab here", r"captions\.txt, line 1, is not a file name"),
        ("captions.txt", b"\xff\xfe0", r"captions\.txt is not a text in UTF-8"),
        ("trainImages.txt", "9.jpg\n", r"names '9\.jpg'"),
        ("trainImages.txt", "../../secret.jpg\n", r"names '\.\./\.\./secret\.jpg'"),
        ("images/2.jpg", "GIF89a", r"2\.jpg is not a photograph"),
    ],
)
def test_damaged_flickr8k_is_named(empty_root: Path, file: str, content: str | bytes, complaint: str) -> None:
    path = lay_out_flickr(empty_root) / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetDamaged, match=complaint):
        load_dataset("flickr8k", size=20)


def test_a_missing_photograph_is_named(empty_root: Path) -> None:
    (lay_out_flickr(empty_root) / "images" / "0.jpg").unlink()
    with pytest.raises(DatasetDamaged, match=r"0\.jpg is missing"):
        load_dataset("flickr8k", size=20)


def lay_out_coco(root: Path) -> Path:
    """Ten photographs are described, six are there; one has too few captions."""
    folder = root / "coco_captions"
    images = [{"id": 100 + n, "file_name": f"{n:012}.jpg"} for n in range(10)]
    annotations = [
        {"id": 1000 - 10 * k + n, "image_id": 100 + n, "caption": f"A cat number {k}."}
        for n in range(10)
        for k in range(4 if n == 5 else 5)
    ]
    for n in range(6):
        picture(folder / "images" / "val2017" / f"{n:012}.jpg", 30 * n)
    (folder / "captions_val2017.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def test_coco_reads_the_photographs_that_are_there(empty_root: Path) -> None:
    folder = lay_out_coco(empty_root)
    data = load_dataset("coco_captions", size=16, min_count=1)
    assert data.x_train.shape == (4, 3, 16, 16) and data.y_test.shape == (1, 5, 22)
    reds = sorted(np.concatenate([data.x_train, data.x_test])[:, 0].mean(axis=(1, 2)).round(-1).tolist())
    assert reds == [0, 30, 60, 90, 120]
    # In the order of their ids, not of the file.
    assert decode(data.y_test[0, 0], data.classes) == ["a", "cat", "number", "4"]
    assert len(read_coco(folder / "captions_val2017.json")) == 9


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"images": [{"id": 1}], "annotations": []}', '{"images": 3}', "[" * 100_000]
)
def test_damaged_coco_is_named(empty_root: Path, content: str) -> None:
    (lay_out_coco(empty_root) / "captions_val2017.json").write_text(content)
    with pytest.raises(DatasetDamaged, match="not a file of captions in the format of COCO"):
        load_dataset("coco_captions")


def test_coco_without_photographs(empty_root: Path) -> None:
    for path in (lay_out_coco(empty_root) / "images" / "val2017").iterdir():
        path.unlink()
    with pytest.raises(DatasetDamaged, match="holds no photograph"):
        load_dataset("coco_captions")
