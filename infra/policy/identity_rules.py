"""No identity may do everything. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.policy.resources import Judged, document, texts

OWN_POLICIES = {
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
}
READS = ("Describe", "Get", "List")  # what AWS offers no narrower resource for is mostly this
TOO_MUCH = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")


def no_wildcards(one: Judged) -> Iterator[str]:
    """Actions are named, and those that change something name what they change."""
    if one.kind == "aws:iam/rolePolicyAttachment:RolePolicyAttachment":
        name = str(one.inputs.get("policyArn", "")).rpartition("/")[2]
        if name in TOO_MUCH or name.endswith("FullAccess"):
            yield f"gives {name}; grant what is used"
    if one.kind not in OWN_POLICIES:
        return
    for statement in document(one.inputs.get("policy")):
        if statement.get("Effect") == "Allow":
            yield from _statement(statement)


def _statement(statement: Mapping[str, object]) -> Iterator[str]:
    actions = texts(statement.get("Action"))
    if "NotAction" in statement or "NotResource" in statement:
        yield "allows all but what it names; name what is used"
    for action in actions:
        if action == "*" or action.endswith(":*"):
            yield f"allows {action}; name the actions"
    changes = [action for action in actions if not action.partition(":")[2].startswith(READS)]
    if "*" in texts(statement.get("Resource")) and changes and not statement.get("Condition"):
        yield f"allows {', '.join(changes)} on *; name the resources"
