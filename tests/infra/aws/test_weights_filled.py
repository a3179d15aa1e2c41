"""Weights come from a hub into a bucket: over real sockets from a hub of this test, into S3 as moto answers for it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from stacks import changed, write
from typer.testing import CliRunner, Result

from controller.cli.main import build_app
from infra.weights import Wanted, WeightsRefused, folder_of, wanted_key, wanted_text

BUCKET, REPOSITORY, COMMIT = "spillway-test-models", "my-company/tiny", "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hub-canary-token"  # nobody's
WANTED = Wanted(model="tiny", repository=REPOSITORY, revision=COMMIT, prefix=folder_of("tiny", COMMIT))
LARGE = b"0123456789" * 900_000  # more than one part of an upload
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model-00001-of-00002.safetensors": LARGE,
    "model-00002-of-00002.safetensors": b"second",
    "consolidated.safetensors": b"the same once more",
    "original/consolidated.00.pth": b"and once more",
    "pytorch_model.bin": b"and again",
    "tokenizer.json": b"{}",
    ".gitattributes": b"",
    "README.md": b"# Tiny",
}
KEPT = {name for name in FILES if name.startswith(("model-", "config", "tokenizer"))}


@dataclass
class HubHere:
    """A hub that gives `files`; `asked`: path and token of each request; `broken`: what it gives in place of a file."""

    url: str = ""
    gated: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    broken: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def tree(self) -> list[dict[str, object]]:
        """As the hub lists a commit: large files with their sha256, all with an object of git."""
        rows: list[dict[str, object]] = [{"type": "directory", "oid": "a" * 40, "size": 0, "path": "original"}]
        for name, content in self.files.items():
            oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            row: dict[str, object] = {"type": "file", "oid": oid, "size": len(content), "path": name}
            if name.endswith((".safetensors", ".pth", ".bin")):
                row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            rows.append(row)
        return rows

    def answer(self, path: str, token: str | None) -> tuple[int, dict[str, str], bytes]:
        """Two pages of files; large files come from another address, which must not see the token."""
        self.asked.append((path, token))
        if path.startswith("/elsewhere/"):
            name = path.removeprefix("/elsewhere/")
            return 200, {}, self.broken.get(name, self.files[name])
        if self.gated and token != f"Bearer {TOKEN}":
            return 401, {}, b""
        rows = self.tree()
        if path == f"/api/models/{REPOSITORY}/tree/{COMMIT}?recursive=true":
            return 200, {"Link": f'<{self.url}{path}&cursor=2>; rel="next"'}, json.dumps(rows[:4]).encode()
        if path == f"/api/models/{REPOSITORY}/tree/{COMMIT}?recursive=true&cursor=2":
            return 200, {}, json.dumps(rows[4:]).encode()
        name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
        if name not in self.files:
            return 404, {}, b""
        if name.endswith(".safetensors"):
            return 302, {"Location": f"{self.url}/elsewhere/{name}"}, b""
        return 200, {}, self.broken.get(name, self.files[name])


@contextmanager
def serving(hub: HubHere) -> Iterator[HubHere]:
    """On a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = hub.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHere]:
    """The hub of the environment."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(HubHere()) as here:
        monkeypatch.setenv("HF_ENDPOINT", here.url)
        yield here


@pytest.fixture(autouse=True)
def s3(account: None) -> Any:
    """An account in which `pulumi up` has made the bucket with what is wanted."""
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=wanted_key("tiny"), Body=wanted_text(WANTED).encode())
    return client


def typed(folder: Path, *words: str, bucket: str = BUCKET) -> Result:
    """`spillway infra weights` on the good stack."""
    write(folder, changed({}))
    line = ["infra", "weights", "--stack", "test", "--dir", str(folder), "--bucket", bucket, *words]
    return CliRunner().invoke(build_app(), line)


def state_of(result: Result) -> dict[str, Any]:
    """What the JSON document says of the one model."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    (one,) = json.loads(result.stdout)["data"]["weights"]
    return one  # type: ignore[no-any-return]


def lies_there(s3: Any) -> dict[str, bytes]:
    """Files of the model in the bucket."""
    rows = s3.list_objects_v2(Bucket=BUCKET, Prefix=WANTED.prefix).get("Contents", [])
    return {
        row["Key"].removeprefix(WANTED.prefix): s3.get_object(Bucket=BUCKET, Key=row["Key"])["Body"].read()
        for row in rows
    }


def test_they_are_brought_there_and_their_sums_written_down(hub: HubHere, s3: Any, tmp_path: Path) -> None:
    """What an engine reads and nothing else; a second time nothing is fetched; a file that goes or shrinks is told."""
    before = typed(tmp_path, "--json")
    assert (before.exit_code, state_of(before)["state"]) == (1, "absent")
    filled = typed(tmp_path, "--fill", "--json")
    assert (filled.exit_code, state_of(filled)["state"], state_of(filled)["files"]) == (0, "whole", 4)
    assert "tiny: 2 of 4: model-00001-of-00002.safetensors 0.01 GiB" in filled.stderr
    assert lies_there(s3) == {name: FILES[name] for name in KEPT}
    sums = json.loads(s3.get_object(Bucket=BUCKET, Key=f"manifests/tiny/{COMMIT}.json")["Body"].read())
    assert (sums["repository"], sums["revision"]) == (REPOSITORY, COMMIT)
    assert sums["files"] == {
        name: {"sha256": hashlib.sha256(FILES[name]).hexdigest(), "size_bytes": len(FILES[name])} for name in KEPT
    }
    hub.asked.clear()
    again = typed(tmp_path, "--fill", "--json")
    assert (again.exit_code, [path for path, _ in hub.asked if "/api/" not in path]) == (0, [])
    s3.put_object(Bucket=BUCKET, Key=WANTED.prefix + "config.json", Body=b"{}")
    s3.delete_object(Bucket=BUCKET, Key=WANTED.prefix + "tokenizer.json")
    s3.put_object(Bucket=BUCKET, Key=WANTED.prefix + "extra.safetensors", Body=b"x")
    damaged = state_of(typed(tmp_path, "--json"))
    assert damaged["state"] == "damaged"
    assert damaged["words"] == (
        "tokenizer.json is missing; config.json has 2 of 23 bytes; extra.safetensors does not belong there"
    )
    mended = typed(tmp_path, "--fill")
    assert "extra.safetensors is none of its files: remove it" in mended.stderr
    s3.delete_object(Bucket=BUCKET, Key=WANTED.prefix + "extra.safetensors")
    whole = typed(tmp_path)
    assert (whole.exit_code, "whole" in whole.stdout) == (0, True)
    assert "spillway:model_store.source" in whole.stderr


def test_the_token_goes_to_the_hub_alone(hub: HubHere, tmp_path: Path) -> None:
    """Not to where it sends on, and into no output."""
    hub.gated = True
    filled = typed(tmp_path, "--fill", "--json")
    assert filled.exit_code == 0
    assert {token for path, token in hub.asked if path.startswith("/elsewhere/")} == {None}
    assert {token for path, token in hub.asked if not path.startswith("/elsewhere/")} == {f"Bearer {TOKEN}"}
    assert TOKEN not in filled.stdout + filled.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model-00002-of-00002.safetensors", b"SECOND"),
        ("model-00002-of-00002.safetensors", b"sec"),
        ("model-00002-of-00002.safetensors", b"second and more"),
        ("config.json", b'{"model_type": "LLAMA"}'),
    ],
    ids=["other content", "less", "more", "a small file"],
)
def test_what_is_not_what_the_commit_names_is_not_put_there(
    hub: HubHere, s3: Any, tmp_path: Path, name: str, content: bytes
) -> None:
    """And the sums are not written."""
    hub.broken[name] = content
    refused = typed(tmp_path, "--fill")
    assert isinstance(refused.exception, WeightsRefused)
    assert f"{REPOSITORY}@{COMMIT}: {name} came with" in str(refused.exception)
    assert name not in lies_there(s3)
    assert state_of(typed(tmp_path, "--json"))["state"] == "absent"


def test_what_cannot_be_had_is_told(hub: HubHere, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gated, nowhere, no hub, no bucket, no stack's bucket, no such model, an address that is none: one line each."""

    def said(*words: str, bucket: str = BUCKET) -> str:
        return str(typed(tmp_path, *words, bucket=bucket).exception)

    hub.gated = True
    monkeypatch.setenv("HF_TOKEN", "another")
    assert "set HF_TOKEN to a token that may read it" in said("--fill")
    assert "--model llama-8b: the stack has no such model; allowed: tiny" in said("--model", "llama-8b")
    assert "NoSuchBucket" in said(bucket="nobodys")
    s3.create_bucket(Bucket="empty")
    assert "empty holds no manifests/" in said(bucket="empty")
    hub.gated = False
    hub.files = {"README.md": b"", "pytorch_model.bin": b"x"}
    assert "no safetensors in the top folder" in said("--fill")
    wrong = Wanted(model="tiny", repository="my-company/gone", revision=COMMIT, prefix=WANTED.prefix)
    s3.put_object(Bucket=BUCKET, Key=wanted_key("tiny"), Body=wanted_text(wrong).encode())
    assert f"my-company/gone@{COMMIT}: there is no such repository or commit" in said("--fill")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 does not answer" in said("--fill")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    assert "HF_ENDPOINT must be an address" in said("--fill")
