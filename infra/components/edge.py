"""What stands before the gateway: the load balancer controller, a certificate, a web firewall if one is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import acm, route53, wafv2

from infra.components.balancer_policy import balancer_policy
from infra.components.charts import ChartArgs, release
from infra.components.identity import PodIdentity, PodIdentityArgs

ACCOUNT = "aws-load-balancer-controller"
REQUESTS_PER_ADDRESS = 10_000  # in five minutes; one caller's gateway of its own stays far below


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeArgs:
    """`certificate_arn` None and a `hosted_zone`: a certificate is made and proven there. `waf`: public ones alone."""

    cluster_name: str
    region: str
    account_id: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    provider: k8s.Provider
    hostname: str | None
    certificate_arn: str | None
    hosted_zone: str | None
    waf: bool
    tags: Mapping[str, str]


class Edge(pulumi.ComponentResource):
    """The controller runs; `certificate_arn` and `firewall_arn` are what an Ingress names, None where there is none."""

    certificate_arn: pulumi.Output[str] | None = None
    firewall_arn: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Edge", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._controller()
        if args.certificate_arn is not None:
            self.certificate_arn = pulumi.Output.from_input(args.certificate_arn)
        elif args.hostname is not None and args.hosted_zone is not None:
            self.certificate_arn = self._certificate(args.hostname, args.hosted_zone)
        if args.waf:
            self.firewall_arn = self._firewall()
        self.register_outputs({})

    def _controller(self) -> None:
        args = self._args
        identity = PodIdentity(
            f"{self._name}-balancers",
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="kube-system",
                service_account=ACCOUNT,
                policy=pulumi.Output.from_input(args.account_id).apply(
                    lambda account: balancer_policy(args.cluster_name, args.region, account)
                ),
                tags=args.tags,
            ),
            opts=self._child,
        )
        release(
            f"{self._name}-controller",
            ChartArgs(
                chart="aws-load-balancer-controller",
                release="aws-load-balancer-controller",
                namespace="kube-system",
                values={
                    "clusterName": args.cluster_name,
                    "region": args.region,
                    "vpcId": args.vpc_id,
                    "serviceAccount": {"create": True, "name": ACCOUNT},
                    "enableServiceMutatorWebhook": False,  # it would refuse Services until the controller runs
                    "defaultTags": dict(args.tags),
                },
            ),
            parent=self,
            provider=args.provider,
            depends_on=[identity],
        )

    def _certificate(self, hostname: str, hosted_zone: str) -> pulumi.Output[str]:
        made = acm.Certificate(
            f"{self._name}-certificate",
            acm.CertificateArgs(domain_name=hostname, validation_method="DNS", tags=dict(self._args.tags)),
            opts=self._child,
        )
        proof = made.domain_validation_options.apply(lambda options: options[0])
        record = route53.Record(
            f"{self._name}-proof",
            route53.RecordArgs(
                zone_id=hosted_zone,
                name=proof.apply(lambda option: option.resource_record_name or ""),
                type=proof.apply(lambda option: option.resource_record_type or ""),
                records=[proof.apply(lambda option: option.resource_record_value or "")],
                ttl=300,
                allow_overwrite=True,
            ),
            opts=self._child,
        )
        proven = acm.CertificateValidation(
            f"{self._name}-proven",
            acm.CertificateValidationArgs(certificate_arn=made.arn, validation_record_fqdns=[record.fqdn]),
            opts=self._child,
        )
        return proven.certificate_arn

    def _firewall(self) -> pulumi.Output[str]:
        return wafv2.WebAcl(
            f"{self._name}-firewall",
            wafv2.WebAclArgs(
                scope="REGIONAL",
                default_action=wafv2.WebAclDefaultActionArgs(allow=wafv2.WebAclDefaultActionAllowArgs()),
                rules=[
                    wafv2.WebAclRuleArgs(
                        name="rate",
                        priority=0,
                        action=wafv2.WebAclRuleActionArgs(block=wafv2.WebAclRuleActionBlockArgs()),
                        statement=wafv2.WebAclRuleStatementArgs(
                            rate_based_statement=wafv2.WebAclRuleStatementRateBasedStatementArgs(
                                limit=REQUESTS_PER_ADDRESS, aggregate_key_type="IP", evaluation_window_sec=300
                            )
                        ),
                        visibility_config=_rule_seen_as("rate"),
                    ),
                    _managed("known-bad", 1, "AWSManagedRulesKnownBadInputsRuleSet"),
                    _managed("reputation", 2, "AWSManagedRulesAmazonIpReputationList"),
                ],
                visibility_config=wafv2.WebAclVisibilityConfigArgs(
                    cloudwatch_metrics_enabled=True, metric_name=self._name, sampled_requests_enabled=False
                ),
                tags=dict(self._args.tags),
            ),
            opts=self._child,
        ).arn


def _managed(name: str, priority: int, group: str) -> wafv2.WebAclRuleArgs:
    return wafv2.WebAclRuleArgs(
        name=name,
        priority=priority,
        override_action=wafv2.WebAclRuleOverrideActionArgs(none=wafv2.WebAclRuleOverrideActionNoneArgs()),
        statement=wafv2.WebAclRuleStatementArgs(
            managed_rule_group_statement=wafv2.WebAclRuleStatementManagedRuleGroupStatementArgs(
                vendor_name="AWS", name=group
            )
        ),
        visibility_config=_rule_seen_as(name),
    )


def _rule_seen_as(metric: str) -> wafv2.WebAclRuleVisibilityConfigArgs:
    # Samples would show parts of prompts to whoever may read the console.
    return wafv2.WebAclRuleVisibilityConfigArgs(
        cloudwatch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=False
    )
