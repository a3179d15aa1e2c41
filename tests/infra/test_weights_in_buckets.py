"""Which files of a repository are weights, whether they lie in a bucket, and every document that is none."""

from __future__ import annotations

import pytest

from infra.weights import (
    FileSum,
    HubFile,
    Wanted,
    WeightsRefused,
    folder_of,
    judge,
    needed,
    parse_sums,
    parse_tree,
    parse_wanted,
    sums_key,
    sums_text,
    wanted_key,
    wanted_text,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WANTED = Wanted(model="tiny", repository="my-company/tiny", revision=COMMIT, prefix=folder_of("tiny", COMMIT))
SUMS = {
    "config.json": FileSum(size_bytes=3, sha256="a" * 64),
    "model.safetensors": FileSum(size_bytes=2**30, sha256="b" * 64),
}
SIZES = {name: one.size_bytes for name, one in SUMS.items()}
ROW = {"type": "file", "path": "model.safetensors", "size": 5, "oid": "c" * 40, "lfs": {"oid": "d" * 64, "size": 5}}


def files(*names: str) -> list[HubFile]:
    """Files with these names."""
    return [HubFile(name=name, size_bytes=1, git_oid="a" * 40, sha256=None) for name in names]


def test_a_tree_is_read() -> None:
    """Large files have their sha256, small ones an object of git; folders are none."""
    small = {"type": "file", "path": "config.json", "size": 2, "oid": "e" * 40}
    folder = {"type": "directory", "path": "original", "size": 0, "oid": "f" * 40}
    assert parse_tree([folder, ROW, small]) == (
        HubFile(name="model.safetensors", size_bytes=5, git_oid="c" * 40, sha256="d" * 64),
        HubFile(name="config.json", size_bytes=2, git_oid="e" * 40, sha256=None),
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"error": "x"}, "no list of files"),
        ([7], "without path, size or sum"),
        ([{**ROW, "size": "5"}], "without path, size or sum"),
        ([{**ROW, "oid": "short"}], "without path, size or sum"),
        ([{**ROW, "lfs": {"oid": "D" * 64}}], "without path, size or sum"),
        ([{"type": "file", "path": "x"}], "without path, size or sum"),
        ([{**ROW, "lfs": 7}], "without path, size or sum"),
        ([{**ROW, "path": "../../etc/passwd"}], "would lie elsewhere"),
        ([{**ROW, "path": "/etc/passwd"}], "would lie elsewhere"),
    ],
    ids=["no list", "no row", "size as a word", "oid", "sum", "no size", "lfs", "above", "absolute"],
)
def test_an_answer_that_is_no_tree_is_refused(rows: object, words: str) -> None:
    """With what it was."""
    with pytest.raises(WeightsRefused, match=words):
        parse_tree(rows)


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (("model.safetensors", "config.json", "README.md", ".gitattributes"), ("config.json", "model.safetensors")),
        (("a-1.safetensors", "consolidated.safetensors", "params.json"), ("a-1.safetensors", "params.json")),
        (("consolidated.safetensors", "params.json"), ("consolidated.safetensors", "params.json")),
        (("model.safetensors", "original/model.safetensors", "model.GGUF"), ("model.safetensors",)),
        (("model.safetensors", "tokenizer.model", "chat_template.jinja", "merges.txt"),
         ("chat_template.jinja", "merges.txt", "model.safetensors", "tokenizer.model")),
    ],
    ids=["page and dotfile", "twice", "consolidated alone", "other formats", "tokenizers"],
)  # fmt: skip
def test_engines_read_one_copy_of_the_weights(there: tuple[str, ...], kept: tuple[str, ...]) -> None:
    """With configuration and tokenizer, in the order of their names."""
    assert tuple(file.name for file in needed(files(*there))) == kept


def test_weights_in_another_format_alone_are_refused() -> None:
    """An engine would find nothing."""
    with pytest.raises(WeightsRefused, match="no safetensors"):
        needed(files("pytorch_model.bin", "config.json", "sub/model.safetensors"))


def test_documents_come_back_as_they_were_written() -> None:
    """What is wanted, and sums."""
    assert parse_wanted(wanted_text(WANTED), "k") == WANTED
    assert parse_sums(sums_text(WANTED, SUMS), "k") == SUMS
    assert wanted_key("tiny") == "manifests/tiny.json"
    assert sums_key(WANTED) == f"manifests/tiny/{COMMIT}.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "k is no JSON"),
        ("[]", "k must be an object"),
        ('{"model": "tiny"}', "k: repository must be a word, not None"),
        ('{"model": ""}', "k: model must be a word, not ''"),
    ],
    ids=["json", "list", "missing", "empty"],
)
def test_a_document_of_what_is_wanted_that_is_none_is_refused(text: str, words: str) -> None:
    """With its key."""
    with pytest.raises(WeightsRefused, match=words):
        parse_wanted(text, "k")


@pytest.mark.parametrize(
    "text",
    ["{}", '{"files": 3}', '{"files": {"a": {}}}', '{"files": {"a": {"size_bytes": "x", "sha256": "y"}}}'],
    ids=["none", "number", "empty", "size"],
)
def test_sums_that_are_none_are_refused(text: str) -> None:
    """With their key."""
    with pytest.raises(WeightsRefused, match="k: files must have size_bytes and sha256 each"):
        parse_sums(text, "k")


@pytest.mark.parametrize(
    ("sums", "sizes", "state", "words"),
    [
        (None, {}, "absent", "not filled in yet"),
        (None, SIZES, "absent", "not filled in yet"),
        (SUMS, SIZES, "whole", f"s3 folder models/tiny/{COMMIT}/"),
        (SUMS, {"config.json": 3}, "damaged", "model.safetensors is missing"),
        (SUMS, {**SIZES, "config.json": 2}, "damaged", "config.json has 2 of 3 bytes"),
        (SUMS, {**SIZES, "x": 1}, "damaged", "x does not belong there"),
        (SUMS, dict.fromkeys("wxyz", 1) | SIZES, "damaged",
         "w does not belong there; x does not belong there; y does not belong there and 1 more"),
    ],
    ids=["empty", "no sums yet", "whole", "missing", "short", "too many", "many faults"],
)  # fmt: skip
def test_a_bucket_is_judged(sums: dict[str, FileSum] | None, sizes: dict[str, int], state: str, words: str) -> None:
    """Files and size are those of the sums."""
    found = judge(WANTED, sums, sizes)
    assert (found.state, found.words) == (state, words)
    assert (found.files, round(found.size_gib, 3)) == ((2, 1.0) if sums else (0, 0.0))
