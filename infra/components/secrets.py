"""Secrets from AWS Secrets Manager into the cluster, by External Secrets: no value passes through Pulumi or its state.

Entries are the user's own: this program knows their names, grants one reader the right to read exactly those, and says
which Kubernetes Secret each becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.components.charts import ChartArgs, release
from infra.components.custom_resource import CustomArgs, custom_resource
from infra.components.iam_documents import Statement, policy
from infra.components.identity import PodIdentity, PodIdentityArgs

API = "external-secrets.io/v1"
STORE = "aws"
REFRESH = "1h0m0s"
OWN_SECRET, PROVIDERS_SECRET, HUB_SECRET = "spillway", "providers", "huggingface"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLogin:
    """Where the ledger is, and the entry with its user and password that RDS keeps."""

    host: pulumi.Input[str]
    database: str
    secret_arn: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsArgs:
    """Names of entries. `gateway` holds `engine-key` and `pepper`; `provider_keys`: entry by provider."""

    cluster_name: pulumi.Input[str]
    region: str
    account_id: pulumi.Input[str]
    operator_namespace: pulumi.Input[str]
    namespace: pulumi.Input[str]
    gateway: str
    hf_token: str | None
    provider_keys: Mapping[str, str]
    login: DatabaseLogin
    key_arn: pulumi.Input[str]
    provider: k8s.Provider
    tags: Mapping[str, str]


class Secrets(pulumi.ComponentResource):
    """The operator, its right to read, and the Secrets that our charts expect."""

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Secrets", name, None, opts)
        self._name, self._args = name, args
        identity = PodIdentity(
            f"{name}-reader",
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="external-secrets",
                service_account="external-secrets",
                policy=pulumi.Output.all(args.account_id, args.login.secret_arn, args.key_arn).apply(
                    lambda parts: self._reads(str(parts[0]), str(parts[1]), str(parts[2]))
                ),
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        operator = release(
            f"{name}-operator",
            ChartArgs(
                chart="external-secrets",
                release="external-secrets",
                namespace=args.operator_namespace,
                values={"installCRDs": True, "serviceAccount": {"create": True, "name": "external-secrets"}},
            ),
            parent=self,
            provider=args.provider,
            depends_on=[identity],
        )
        store = self._object("SecretStore", STORE, self._store(), operator)
        self._external(OWN_SECRET, self._own(), store)
        if args.provider_keys:
            data = [_entry(key, entry) for key, entry in sorted(args.provider_keys.items())]
            self._external(PROVIDERS_SECRET, {"data": data}, store)
        if args.hf_token is not None:
            self._external(HUB_SECRET, {"data": [_entry("HF_TOKEN", args.hf_token)]}, store)
        self.register_outputs({})

    def _reads(self, account_id: str, login_arn: str, key_arn: str) -> str:
        args = self._args
        named = [name for name in (args.gateway, args.hf_token, *sorted(args.provider_keys.values())) if name]
        # Secrets Manager adds a dash and six characters to a name.
        arns = [f"arn:aws:secretsmanager:{args.region}:{account_id}:secret:{name}-??????" for name in named]
        return policy(
            Statement(
                actions=("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"),
                resources=(*arns, login_arn),
            ),
            Statement(
                actions=("kms:Decrypt",),
                resources=(key_arn,),
                conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{args.region}.amazonaws.com"}},
            ),
        )

    def _store(self) -> dict[str, object]:
        return {"provider": {"aws": {"service": "SecretsManager", "region": self._args.region}}}

    def _own(self) -> dict[str, object]:
        login = self._args.login
        url = pulumi.Output.format(
            "postgresql://{{{{ .username }}}}:{{{{ .password | urlquery }}}}@{0}:5432/{1}?sslmode=require",
            login.host,
            login.database,
        )
        kept = {"engine-key": "{{ .enginekey }}", "pepper": "{{ .pepper }}", "database-url": url}
        return {
            "target": {
                "name": OWN_SECRET,
                "creationPolicy": "Owner",
                "template": {"engineVersion": "v2", "data": kept},
            },
            "data": [
                _entry("enginekey", self._args.gateway, "engine-key"),
                _entry("pepper", self._args.gateway, "pepper"),
                _entry("username", login.secret_arn, "username"),
                _entry("password", login.secret_arn, "password"),
            ],
        }

    def _external(self, secret: str, spec: Mapping[str, object], store: pulumi.Resource) -> None:
        whole = {
            "refreshInterval": REFRESH,
            "secretStoreRef": {"kind": "SecretStore", "name": STORE},
            "target": {"name": secret, "creationPolicy": "Owner"},
            **spec,
        }
        self._object("ExternalSecret", secret, whole, store)

    def _object(
        self, kind: str, object_name: str, spec: Mapping[str, object], after: pulumi.Resource
    ) -> pulumi.Resource:
        return custom_resource(
            f"{self._name}-{kind.lower()}-{object_name}",
            CustomArgs(api_version=API, kind=kind, object_name=object_name, namespace=self._args.namespace, spec=spec),
            parent=self,
            provider=self._args.provider,
            depends_on=[after],
        )


def _entry(key: str, entry: pulumi.Input[str], field: str | None = None) -> dict[str, object]:
    remote: dict[str, object] = {"key": entry}
    if field is not None:
        remote["property"] = field
    return {"secretKey": key, "remoteRef": remote}
