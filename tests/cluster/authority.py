"""The cluster's own certificate authority, by the openssl command, and kubeconfig files of its certificates."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.commands import run
from tests.cluster.programs import installed

DAYS = "30"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate (or a bare public key) and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs certificates into a folder of its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What everybody trusts."""
        return self.folder / "ca.crt"

    @property
    def accounts(self) -> Pair:
        """What tokens of service accounts are signed with, and the public half that they are checked with."""
        return Pair(certificate=self.folder / "accounts.pub", key=self.folder / "accounts.key")

    def issue(self, name: str, subject: str, *, addresses: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """A new pair for a client, and for a server under these addresses and names."""
        pair = Pair(certificate=self.folder / f"{name}.crt", key=self.folder / f"{name}.key")
        alternatives = [*(f"IP:{address}" for address in addresses), *(f"DNS:{each}" for each in names)]
        alternative = ["-addext", f"subjectAltName={','.join(alternatives)}"] if alternatives else []
        run(
            [
                *(installed("openssl"), "req", "-x509", "-CA", str(self.certificate)),
                *("-CAkey", str(self.folder / "ca.key"), *_KEY, "-days", DAYS, "-subj", subject),
                *("-keyout", str(pair.key), "-out", str(pair.certificate)),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
                *("-addext", "extendedKeyUsage=clientAuth,serverAuth", *alternative),
            ]
        )
        return pair

    def kubeconfig(self, path: Path, *, server: str, pair: Pair) -> Path:
        """The file at `path` reaches `server` as the holder of `pair`; it stands alone and can be copied."""
        name = "spillway-test"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "clusters": [
                {"name": name, "cluster": {"server": server, "certificate-authority-data": _inline(self.certificate)}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _inline(pair.certificate),
                        "client-key-data": _inline(pair.key),
                    },
                }
            ],
        }
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump(document, file, sort_keys=False)
        return path


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def new_authority(folder: Path) -> Authority:
    """An authority with its own key, and the key of service accounts."""
    folder.mkdir(mode=0o700)
    openssl = installed("openssl")
    run(
        [
            *(openssl, "req", "-x509", *_KEY, "-days", DAYS, "-subj", "/CN=spillway-test-ca"),
            *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
            *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
        ]
    )
    authority = Authority(folder=folder)
    private, public = str(authority.accounts.key), str(authority.accounts.certificate)
    run([openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private])
    run([openssl, "pkey", "-in", private, "-pubout", "-out", public])
    return authority
