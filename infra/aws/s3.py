"""S3: what lies in the bucket of the weights. `put` and `upload` alone change anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error  # pyright: ignore[reportMissingTypeStubs]

from infra.aws.access import AwsError, asked


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket; every method raises AwsError where AWS refuses or does not answer."""

    client: Any
    name: str

    def sizes_bytes(self, prefix: str) -> dict[str, int]:
        """Of every object below the prefix, by what follows it."""
        found: dict[str, int] = {}
        with asked("s3:ListBucket"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                found |= {row["Key"].removeprefix(prefix): int(row["Size"]) for row in page.get("Contents", [])}
        return found

    def content(self, key: str) -> str:
        """What the object says."""
        with asked("s3:GetObject"):
            said: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return said.decode("utf-8", "replace")

    def labels(self, key: str) -> dict[str, str]:
        """What was written beside the object when it was put there."""
        with asked("s3:GetObject"):
            return dict(self.client.head_object(Bucket=self.name, Key=key)["Metadata"])

    def put(self, key: str, content: str) -> None:
        """The object says that, as JSON."""
        with asked("s3:PutObject"):
            self.client.put_object(Bucket=self.name, Key=key, Body=content.encode(), ContentType="application/json")

    def upload(self, key: str, file: Path, labels: dict[str, str]) -> None:
        """The file is there, in parts where it is large, each compared by S3 with a sum that goes with it."""
        extra = {"Metadata": labels, "ChecksumAlgorithm": "SHA256"}
        with asked("s3:PutObject"):
            try:
                self.client.upload_file(str(file), self.name, key, ExtraArgs=extra)
            except Boto3Error as error:
                raise AwsError("s3:PutObject", str(error)) from error
