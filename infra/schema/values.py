"""Kinds of values that several sections share: names, networks, sizes, secrets by name."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="lower-case letters, digits and dashes, at most 32, a letter first",
    ),
]
ZoneName = Annotated[
    str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", description="an availability zone such as us-east-1a")
]
InstanceType = Annotated[
    str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$", description="an EC2 instance type such as g5.2xlarge")
]
SecretName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$",
        description="the name of an entry in AWS Secrets Manager, such as spillway/prod/hf-token",
    ),
]
Variable = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100, description="a variable name such as OPENAI_API_KEY")
]
Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:", max_length=2048, description="an ARN, arn:aws:...")]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254, description="an e-mail address")]
Usd = Annotated[float, Field(ge=0, le=100_000_000, allow_inf_nan=False)]
Nodes = Annotated[int, Field(strict=True, ge=0, le=1000)]
Gib = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Days = Annotated[int, Field(strict=True, ge=1, le=3653)]
Switch = Annotated[bool, Field(strict=True)]


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError as error:
        raise ValueError(f"{text} is no IPv4 network: {error}") from error


Cidr = Annotated[str, AfterValidator(_network), Field(description="an IPv4 network such as 10.0.0.0/16")]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values do not change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
