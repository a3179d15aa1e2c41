"""The images, built once for all tests of this folder, and unpacked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker.images import Image, built, unpacked


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """`ops` and `engine-sim`, as this tree makes them."""
    folder = tmp_path_factory.mktemp("images")
    return {name: unpacked(name, archive, folder / name) for name, archive in built("ops", "engine-sim").items()}


@pytest.fixture(scope="session", params=["ops", "engine-sim"])
def image(request: pytest.FixtureRequest, images: dict[str, Image]) -> Image:
    """Each of them."""
    return images[request.param]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that the images' user may write."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder
