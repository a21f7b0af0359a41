"""The data sets: what they hold, how a missing or damaged one is reported, and how one is fetched."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import pickle
import shutil
import tarfile
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autograder.datasets import (
    Archive,
    DatasetDamaged,
    DatasetError,
    DatasetMissing,
    FetchError,
    Recipe,
    data_root,
    dataset_path,
    fetching,
    list_datasets,
    load_dataset,
)
from autograder.datasets.fetching import fetch
from autograder.datasets.readers import digits as digits_reader
from autograder.datasets.recipe import recipes
from autograder.datasets.unpickle import read_pickle

DIGITS_FIRST_TEST_LABELS = [0, 4, 6, 2, 2, 2, 9, 2, 4, 6, 6, 9]
CELSIUS_FIRST = 34.94651466480721
CARDS = Path(__file__).parents[2] / "datasets"


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- the embedded sets


def test_digits_are_those_that_scikit_learn_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    table = digits_reader._table()
    bunch = load_digits()
    np.testing.assert_array_equal(table, np.column_stack([bunch.data, bunch.target]))
    monkeypatch.setattr(digits_reader.importlib.util, "find_spec", lambda name: None)
    np.testing.assert_array_equal(digits_reader._table(), table)


def test_digits_are_real_scaled_and_split_by_class() -> None:
    digits = load_dataset("digits")
    assert digits.x_train.shape == (1438, 8, 8) and digits.x_test.shape == (359, 8, 8)
    assert digits.x_train.dtype == np.float64 and digits.y_train.dtype == np.int64
    assert digits.embedded and digits.classes == tuple("0123456789")
    pixels = np.concatenate([digits.x_train, digits.x_test])
    assert pixels.min() == 0.0 and pixels.max() == 1.0
    totals = np.bincount(np.concatenate([digits.y_train, digits.y_test]))
    assert totals.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as published
    assert np.all(np.abs(np.bincount(digits.y_test) - 0.2 * totals) < 1)


def test_no_digit_is_in_both_splits() -> None:
    digits = load_dataset("digits")
    train = {image.tobytes() for image in digits.x_train}
    assert not train & {image.tobytes() for image in digits.x_test}


def test_the_split_never_changes() -> None:
    """Recorded figures in notebooks depend on it: a change of NumPy or of the code must be noticed."""
    digits, again = load_dataset("digits"), load_dataset("digits")
    assert np.array_equal(digits.x_train, again.x_train)
    assert digits.y_test[:12].tolist() == DIGITS_FIRST_TEST_LABELS
    temperatures = load_dataset("celsius_fahrenheit")
    np.testing.assert_allclose(temperatures.x_train[0, 0], CELSIUS_FIRST, rtol=0, atol=1e-9)


def test_arrays_belong_to_the_caller() -> None:
    load_dataset("digits").x_train[:] = -1.0
    assert load_dataset("digits").x_train.min() == 0.0


def test_celsius_fahrenheit_scatters_round_the_law() -> None:
    data = load_dataset("celsius_fahrenheit")
    assert data.x_train.shape == (160, 1) and data.y_train.shape == (160,) and data.classes == ()
    residuals = data.y_train - (1.8 * data.x_train[:, 0] + 32.0)
    assert 0.8 < residuals.std() < 1.2 and abs(residuals.mean()) < 0.3
    np.testing.assert_allclose(data.y_test, 1.8 * data.x_test[:, 0] + 32.0)


def test_num_train_and_num_test_keep_the_first_examples() -> None:
    whole, part = load_dataset("digits"), load_dataset("digits", num_train=100, num_test=0)
    assert np.array_equal(part.x_train, whole.x_train[:100]) and np.array_equal(
        part.y_train, whole.y_train[:100]
    )
    assert part.x_test.shape == (0, 8, 8)


@pytest.mark.parametrize(
    "options", [{"num_train": -1}, {"num_train": 1439}, {"num_test": 2.5}, {"num_test": True}]
)
def test_impossible_counts_are_refused(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(DatasetError, match=f"{name} must be a whole number between 0 and"):
        load_dataset("digits", **options)


def test_unknown_names_and_options_list_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"no data set 'mnits'.*cifar10.*digits"):
        load_dataset("mnits")
    with pytest.raises(DatasetError, match=r"no option 'flat'. It takes: num_train, num_test"):
        load_dataset("digits", flat=True)


def test_printing_a_data_set_shows_shapes_not_numbers() -> None:
    assert "x_train float64 (1438, 8, 8)" in repr(load_dataset("digits"))


# --- recipes, cards, places


def test_every_data_set_has_a_card_and_a_reader() -> None:
    for name in recipes():
        card = (CARDS / name / "card.md").read_text(encoding="utf-8")
        for heading in ("## Origin", "## Licence", "## Size", "## Limits"):
            assert heading in card, f"datasets/{name}/card.md has no {heading!r}"
        assert (Path(fetching.__file__).parent / "readers" / f"{name}.py").is_file()


def test_the_root_is_the_environment_variable_or_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", "~/course-data")
    assert data_root() == Path("~/course-data").expanduser()
    monkeypatch.setenv("AUTOGRADER_DATA", " ")
    assert data_root().parent.name == "autograder-kit"


def test_paths_and_listing(empty_root: Path) -> None:
    assert dataset_path("cifar10") == empty_root / "cifar-10-batches-py"
    with pytest.raises(DatasetError, match="comes with the kit"):
        dataset_path("digits")
    present = {info.name: info.present for info in list_datasets()}
    assert present["digits"] and not present["cifar10"]


@pytest.mark.parametrize("path", ["../elsewhere", "/etc/passwd", "a/../../b"])
def test_a_recipe_cannot_leave_the_root(path: str) -> None:
    with pytest.raises(ValueError, match="leaves the data root"):
        Recipe(name="x", title="X", licence="none", files=(path,))


# --- CIFAR-10


def write_cifar(root: Path, protocol: int = 2, text_keys: bool = False) -> Path:
    """Lay out small-valued batches as the distributor does: ten thousand rows of 3,072 bytes each."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for number, name in enumerate(names):
        pixels = np.full((10_000, 3072), number, dtype=np.uint8)
        pixels[0, :1024], pixels[0, 1024:2048], pixels[0, 2048:] = 255, 51, 0
        content = {b"data": pixels, b"labels": [row % 10 for row in range(10_000)]}
        if text_keys:
            content = {key.decode(): value for key, value in content.items()}  # type: ignore[misc]
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    meta = {b"label_names": [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", *[b"x"] * 4]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=protocol))
    return folder


@pytest.mark.parametrize(("protocol", "text_keys"), [(2, False), (4, False), (5, True)])
def test_cifar10_in_the_distributors_layout(empty_root: Path, protocol: int, text_keys: bool) -> None:
    write_cifar(empty_root, protocol, text_keys)
    cifar = load_dataset("cifar10", num_train=10_001, num_test=7)
    assert cifar.x_train.shape == (10_001, 3, 32, 32) and cifar.x_train.dtype == np.float32
    assert cifar.x_test.shape == (7, 3, 32, 32) and cifar.y_test.tolist() == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(cifar.x_train[0, :, 0, 0], [1.0, 0.2, 0.0])  # red, green, blue planes in turn
    np.testing.assert_allclose(cifar.x_train[10_000, 0], 1.0)  # the first row of the second batch
    assert not cifar.embedded and cifar.classes[:2] == ("airplane", "automobile")


def test_cifar10_as_bytes_and_as_float64(empty_root: Path) -> None:
    write_cifar(empty_root)
    raw = load_dataset("cifar10", num_train=2, num_test=2, dtype="uint8")
    assert raw.x_train.dtype == np.uint8 and raw.x_train[0, 1, 0, 0] == 51
    scaled = load_dataset("cifar10", num_train=2, num_test=2, dtype="float64")
    np.testing.assert_allclose(scaled.x_train, raw.x_train / 255)
    with pytest.raises(DatasetError, match="dtype must be one of"):
        load_dataset("cifar10", dtype="int8")


def test_a_missing_set_says_how_to_get_it(empty_root: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"is not on this machine.*autograder data fetch cifar10"):
        load_dataset("cifar10")
    folder = write_cifar(empty_root)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DatasetMissing, match="lacks cifar-10-batches-py/data_batch_3"):
        load_dataset("cifar10")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        pickle.dumps({b"data": 1}),
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": b"", b"labels": []}),
    ],
    ids=["empty", "a web page", "no labels", "a list", "bytes"],
)
def test_damaged_batches_are_named(empty_root: Path, content: bytes) -> None:
    batch = write_cifar(empty_root) / "data_batch_1"
    batch.write_bytes(content)
    with pytest.raises(DatasetDamaged, match="data_batch_1") as caught:
        load_dataset("cifar10", num_train=1)
    assert "\n" not in str(caught.value)


def test_a_truncated_batch_is_damaged(empty_root: Path) -> None:
    batch = write_cifar(empty_root) / "data_batch_1"
    batch.write_bytes(batch.read_bytes()[:-1000])
    with pytest.raises(DatasetDamaged, match="damaged"):
        load_dataset("cifar10", num_train=1)


class _RunsACommand:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


class _Codec:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        import codecs

        return codecs.encode, ("x" * 10, "rot13")


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    marker, file = tmp_path / "marker", tmp_path / "batch"
    for attack in (_RunsACommand(marker), _Codec(), np.sum, np.lib, eval):
        try:
            file.write_bytes(pickle.dumps({b"data": attack}, protocol=2))
        except (TypeError, AttributeError, pickle.PicklingError):
            continue  # a module cannot be pickled at all
        with pytest.raises(DatasetDamaged):
            read_pickle(file)
    assert not marker.exists()


def test_plain_arrays_survive_every_protocol(tmp_path: Path) -> None:
    value = {"a": np.arange(6, dtype=">i2").reshape(2, 3), "b": [b"x", "y", 1.5, None, (True,)]}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "p").write_bytes(pickle.dumps(value, protocol=protocol))
        back = read_pickle(tmp_path / "p")
        assert np.array_equal(back["a"], value["a"]) and back["b"] == value["b"]


# --- fetching, from a server on this machine


class _Server(http.server.ThreadingHTTPServer):
    """Serves `content`, by ranges if asked; breaks the first `breaks` answers off half way."""

    content = b""
    breaks = 0
    ranges = True
    requests: list[str]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        content, asked = self.server.content, self.headers.get("Range")
        self.server.requests.append(asked or "")
        if self.path != "/set.tar.gz":
            self.send_error(404)
            return
        start = int(asked.split("=")[1].rstrip("-")) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


GOOD = {"set/a": os.urandom(2_000_000), "set/deep/b": b"two"}


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as running:
        running.content, running.requests = archive_of(GOOD), []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def offer(server: _Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a recipe "set" known to `fetch`, for what the server serves at that moment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(path: str = "set.tar.gz", sha256: str | None = None, before: tuple[str, ...] = ()) -> None:
        archive = Archive(
            urls=(*before, f"http://127.0.0.1:{server.server_address[1]}/{path}"),
            sha256=sha256 or hashlib.sha256(server.content).hexdigest(),
            bytes=len(server.content),
            unpacked_bytes=2_000_100,
        )
        found = Recipe(
            name="set", title="The set", licence="none", folder="set", files=tuple(GOOD), archives=(archive,)
        )
        monkeypatch.setattr(fetching, "recipe", lambda name: found)

    return make


def test_fetch_lays_the_files_out_and_leaves_nothing_else(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    offer()
    assert fetch("set", progress=False) == empty_root / "set"
    files = sorted(
        path.relative_to(empty_root).as_posix() for path in empty_root.rglob("*") if path.is_file()
    )
    assert files == sorted(GOOD)  # and no link
    assert {name: (empty_root / name).read_bytes() for name in GOOD} == GOOD
    assert not [path for path in empty_root.iterdir() if path.name.startswith(".")]
    fetch("set", progress=False)
    assert len(server.requests) == 1, "a complete data set was downloaded a second time"


def test_a_broken_download_goes_on_where_it_stopped(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    offer()
    server.breaks = 1
    with pytest.raises(FetchError, match=r"broke off.*goes on where it stopped"):
        fetch("set", progress=False)
    assert not (empty_root / "set").exists()
    fetch("set", progress=False)
    whole, rest = server.requests
    assert whole == "" and 0.3 * len(server.content) < int(rest.removeprefix("bytes=").rstrip("-"))
    assert (empty_root / "set/a").read_bytes() == GOOD["set/a"]


def test_a_server_that_cannot_resume_is_asked_for_everything(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    offer()
    server.breaks, server.ranges = 1, False
    with pytest.raises(FetchError):
        fetch("set", progress=False)
    fetch("set", progress=False)
    assert (empty_root / "set/a").read_bytes() == GOOD["set/a"]


def test_a_wrong_checksum_is_thrown_away(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    offer(sha256="0" * 64)
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch("set", progress=False)
    assert not [path for path in empty_root.rglob("*") if path.is_file()]
    offer()
    fetch("set", progress=False)  # nothing bad was kept that would spoil the next try
    assert (empty_root / "set/a").is_file()


def test_addresses_that_fail_are_named_and_mirrors_are_tried(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    offer(path="nothing.tar.gz")
    with pytest.raises(FetchError, match="answered 404"):
        fetch("set", progress=False)
    port = server.server_address[1]
    offer(before=(f"http://127.0.0.1:{port}/gone/set.tar.gz",))
    fetch("set", progress=False)
    assert (empty_root / "set/a").is_file()


def test_no_network_is_said_plainly(
    server: _Server, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    def refuse(*args: object, **kwargs: object) -> None:
        raise requests.ConnectionError("Name or service not known")

    offer()
    monkeypatch.setattr(requests, "get", refuse)
    with pytest.raises(FetchError, match="cannot be reached") as caught:
        fetch("set", progress=False)
    assert "Name or service" not in str(caught.value)


def test_a_full_disk_is_noticed_before_the_download(
    server: _Server, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9_000_000, 7_000_000, 2_000_000))
    with pytest.raises(FetchError, match=r"The set needs 4 MB .* where 2 MB are free\. Make room"):
        fetch("set", progress=False)
    assert server.requests == []


def test_a_root_that_cannot_be_written(server: _Server, offer: Callable[..., None], tmp_path: Path) -> None:
    offer()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FetchError, match="could not be stored in"):
        fetch("set", root=tmp_path / "file" / "data", progress=False)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "set/../../outside"])
def test_an_archive_cannot_leave_the_root(
    server: _Server, offer: Callable[..., None], empty_root: Path, name: str
) -> None:
    server.content = archive_of({**GOOD, name: b"!"})
    offer()
    with pytest.raises(FetchError, match="leaves its folder"):
        fetch("set", progress=False)
    assert not (empty_root.parent / "outside").exists() and not (empty_root / "set").exists()


def test_an_archive_without_the_promised_files(
    server: _Server, offer: Callable[..., None], empty_root: Path
) -> None:
    server.content = archive_of({"set/a": b"only one"})
    offer()
    with pytest.raises(FetchError, match="did not hold set/deep/b"):
        fetch("set", progress=False)


def test_embedded_sets_need_no_fetching() -> None:
    assert fetch("digits") is None
    with pytest.raises(DatasetError, match="no data set"):
        fetch("nonsense")
