"""The pack as Pulumi runs it: `pulumi preview --policy-pack policy` from the folder of the program."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack

PACKAGE = Path(__file__).resolve().parents[1]
spec = spec_from_file_location("infra", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)])
if spec is not None:
    sys.modules["infra"] = module_from_spec(spec)  # whatever the folder is called, as for the program itself

from infra.policy.pack import policies  # noqa: E402 - only now it is known where infra is

PolicyPack("spillway", enforcement_level=EnforcementLevel.MANDATORY, policies=policies())
