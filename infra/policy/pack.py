"""The rules as policies of Pulumi: names, words and what their configuration may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from infra.policy.ceiling_rules import within_ceilings
from infra.policy.identity_rules import no_wildcards
from infra.policy.machine_rules import buckets_encrypted, encrypted, metadata_by_token
from infra.policy.network_rules import no_endpoint_for_everyone
from infra.policy.ownership_rules import protected, tagged
from infra.policy.resources import Judged, Limits, texts

PLAIN: dict[str, tuple[str, Callable[[Judged], Iterator[str]]]] = {
    "no-endpoint-for-everyone": ("Nothing answers 0.0.0.0/0.", no_endpoint_for_everyone),
    "metadata-by-token": ("Instances answer metadata by IMDSv2 alone, and not to pods.", metadata_by_token),
    "encrypted": ("Whatever is kept is encrypted.", encrypted),
    "protected": ("What cannot be made again is protected from deletion.", protected),
    "no-wildcards": ("No identity may do everything.", no_wildcards),
}
TAGS = PolicyConfigSchema(
    properties={"required_tags": {"type": "array", "items": {"type": "string"}, "default": ["spillway:stack"]}}
)
CEILINGS = PolicyConfigSchema(
    properties={
        "max_gpus": {"type": "integer", "minimum": 0, "default": Limits().max_gpus},
        "max_usd_per_month": {"type": "number", "minimum": 0, "default": Limits().max_usd_per_month},
        "region": {"type": "string", "default": Limits().region},
    }
)


def policies() -> list[Policy]:
    """All policies of the pack."""
    plain: list[Policy] = [
        ResourceValidationPolicy(name=name, description=words, validate=_validator(rule))
        for name, (words, rule) in PLAIN.items()
    ]
    return [
        *plain,
        ResourceValidationPolicy(
            name="tagged",
            description="Everything that bills says whose it is.",
            validate=_validate_tags,
            config_schema=TAGS,
        ),
        StackValidationPolicy(
            name="buckets-encrypted",
            description="Every bucket has rules of encryption.",
            validate=_validate_buckets,
        ),
        StackValidationPolicy(
            name="within-ceilings",
            description="GPUs and money have an upper bound.",
            validate=_validate_ceilings,
            config_schema=CEILINGS,
            enforcement_level=EnforcementLevel.MANDATORY,
        ),
    ]


def limits_of(config: Mapping[str, object]) -> Limits:
    """The pack's configuration of one policy; what it does not say is as usual."""
    usual = Limits()
    return Limits(
        max_gpus=int(float(str(config.get("max_gpus", usual.max_gpus)))),  # the engine sends every number as 32.0
        max_usd_per_month=float(str(config.get("max_usd_per_month", usual.max_usd_per_month))),
        region=str(config.get("region", usual.region)),
        required_tags=tuple(texts(config.get("required_tags", usual.required_tags))),
    )


def _judged(resource: ResourceValidationArgs | PolicyResource) -> Judged:
    return Judged(
        kind=resource.resource_type,
        name=resource.name,
        inputs=resource.props,
        is_protected=resource.opts.protect,
    )


def _validator(rule: Callable[[Judged], Iterator[str]]) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        for words in rule(_judged(args)):
            report_violation(f"{args.name} {words}", None)

    return validate


def _validate_tags(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
    for words in tagged(_judged(args), limits_of(args.get_config())):
        report_violation(f"{args.name} {words}", None)


def _validate_buckets(args: StackValidationArgs, report_violation: ReportViolation) -> None:
    for words in buckets_encrypted([_judged(one) for one in args.resources]):
        report_violation(words, None)


def _validate_ceilings(args: StackValidationArgs, report_violation: ReportViolation) -> None:
    for words in within_ceilings([_judged(one) for one in args.resources], limits_of(args.get_config())):
        report_violation(words, None)
