"""What needs Pulumi's SDK or boto3 is collected in the environment that has them, and there nothing may be missing."""

from __future__ import annotations

import sys
from pathlib import Path

INFRA_ENVIRONMENT = (
    ".venv-infra"  # by its name: a package that it lacks is an error in it, never a reason to leave out tests
)
collect_ignore = [] if Path(sys.prefix).name == INFRA_ENVIRONMENT else ["engine", "mocked", "aws"]
