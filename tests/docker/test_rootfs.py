"""What the images leave out of the packages that are installed: nothing that runs misses it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes
import yaml

from tests.docker.images import ROOT

READ = """
import asyncio, json, sys
import kubernetes
from controller.adapters.kubernetes_access import kubeconfig_access

async def told(context):
    access = await kubeconfig_access(sys.argv[1], context=context, namespace=None)
    return [access.server, access.namespace, dict(await access.headers(False))]

found = [asyncio.run(told(context)) for context in ("token", "plug-in")]
print(json.dumps([kubernetes.__file__, *found]))
"""
CREDENTIAL = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "b"}}


def test_kubeconfig_is_read_without_the_kinds_and_calls_of_the_client(tmp_path: Path) -> None:
    """As in the image: by token and by a plug-in that is run for one; a hundredth of the package is left."""
    spec = importlib.util.spec_from_file_location("rootfs", ROOT / "docker" / "rootfs.py")
    assert spec is not None
    assert spec.loader is not None
    rootfs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rootfs)
    whole = Path(kubernetes.__file__).parent
    kept = list(rootfs.installed_below(whole))
    for path in kept:
        place = tmp_path / path.relative_to(whole.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    assert sum(path.stat().st_size for path in kept) < 2_000_000
    plug_in = {"apiVersion": CREDENTIAL["apiVersion"], "command": "echo", "args": [json.dumps(CREDENTIAL)]}
    users = {"token": {"token": "a"}, "plug-in": {"exec": {**plug_in, "interactiveMode": "Never"}}}
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:7"}}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name, "namespace": "n"}} for name in users],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", READ, str(file)]
    done = subprocess.run(command, check=False, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        str(tmp_path / "kubernetes" / "__init__.py"),
        ["http://127.0.0.1:7", "n", {"Authorization": "Bearer a"}],
        ["http://127.0.0.1:7", "n", {"Authorization": "Bearer b"}],
    ]
