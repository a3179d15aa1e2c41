"""What Pulumi runs. This folder is the package `infra`, whatever it is called and wherever `pulumi new` has put it."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).resolve().parent
if (HERE / "stack").is_dir():  # else the program alone stands here, and the package is installed
    spec = spec_from_file_location("infra", HERE / "__init__.py", submodule_search_locations=[str(HERE)])
    if spec is not None:
        sys.modules["infra"] = module_from_spec(spec)

from infra.stack import build, configured  # noqa: E402 - only now it is known where infra is

build(configured())
