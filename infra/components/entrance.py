"""The gateway's own load balancer, as an Ingress of this program and not of the chart.

So its deletion is waited for, with the controller still there that takes the balancer down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import route53
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    HTTPIngressPathArgs,
    HTTPIngressRuleValueArgs,
    Ingress,
    IngressBackendArgs,
    IngressInitArgs,
    IngressRuleArgs,
    IngressServiceBackendArgs,
    IngressSpecArgs,
    ServiceBackendPortArgs,
)

IDLE_S = 660  # longer than the gateway's longest answer, or streams would be cut
CLASS = "alb"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntranceArgs:
    """`allowed_cidrs` empty: all that reach the balancer. Without a certificate it speaks plain HTTP, inside alone."""

    namespace: pulumi.Input[str]
    service: str
    public: bool
    hostname: str | None
    hosted_zone: str | None
    certificate_arn: pulumi.Input[str] | None
    firewall_arn: pulumi.Input[str] | None
    allowed_cidrs: tuple[str, ...]
    provider: k8s.Provider
    tags: Mapping[str, str]


class Entrance(pulumi.ComponentResource):
    """A balancer that sends requests to the gateway's pods; `url` is where callers ask."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: EntranceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Entrance", name, None, opts)
        made = Ingress(
            f"{name}-ingress",
            IngressInitArgs(
                metadata=ObjectMetaArgs(name="spillway", namespace=args.namespace, annotations=_annotations(args)),
                spec=IngressSpecArgs(ingress_class_name=CLASS, rules=[_rule(args)]),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                custom_timeouts=pulumi.CustomTimeouts(create="15m", delete="15m"),
            ),
        )
        balancer = made.status.apply(_address)
        if args.hostname is not None and args.hosted_zone is not None:
            route53.Record(
                f"{name}-name",
                route53.RecordArgs(
                    zone_id=args.hosted_zone, name=args.hostname, type="CNAME", records=[balancer], ttl=300
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        scheme = "http" if args.certificate_arn is None else "https"
        self.url = pulumi.Output.concat(f"{scheme}://", args.hostname or balancer, "/v1")
        self.register_outputs({"url": self.url})


def _annotations(args: EntranceArgs) -> dict[str, pulumi.Input[str]]:
    secure = args.certificate_arn is not None
    made: dict[str, pulumi.Input[str]] = {
        "scheme": "internet-facing" if args.public else "internal",
        "target-type": "ip",
        "listen-ports": '[{"HTTPS": 443}]' if secure else '[{"HTTP": 80}]',
        # Readiness decides what the controller registers; on this port all paths want a key, and 401 is a sign of life.
        "healthcheck-path": "/v1/models",
        "success-codes": "200,401",
        "healthcheck-interval-seconds": "10",
        "load-balancer-attributes": (
            f"idle_timeout.timeout_seconds={IDLE_S},routing.http.drop_invalid_header_fields.enabled=true"
        ),
        "target-group-attributes": "load_balancing.algorithm.type=least_outstanding_requests",
        "tags": ",".join(f"{key}={value}" for key, value in sorted(args.tags.items())),
    }
    if args.certificate_arn is not None:
        made["certificate-arn"] = args.certificate_arn
        made["ssl-policy"] = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    if args.firewall_arn is not None:
        made["wafv2-acl-arn"] = args.firewall_arn
    if args.allowed_cidrs:
        made["inbound-cidrs"] = ",".join(args.allowed_cidrs)
    return {f"alb.ingress.kubernetes.io/{key}": value for key, value in made.items()}


def _rule(args: EntranceArgs) -> IngressRuleArgs:
    backend = IngressBackendArgs(
        service=IngressServiceBackendArgs(name=args.service, port=ServiceBackendPortArgs(name="http"))
    )
    path = HTTPIngressPathArgs(path="/v1", path_type="Prefix", backend=backend)
    return IngressRuleArgs(host=args.hostname, http=HTTPIngressRuleValueArgs(paths=[path]))


def _address(status: k8s.networking.v1.outputs.IngressStatus | None) -> str:
    if status is None or status.load_balancer is None or not status.load_balancer.ingress:
        return ""
    return status.load_balancer.ingress[0].hostname or ""
