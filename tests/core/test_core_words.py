"""Whose policy holds, and what errors of a cluster and of claims carry."""

from __future__ import annotations

from controller.core.errors import ClusterError, ClusterForbidden, ClusterUnavailable, ForbiddenCause, SpillwayError
from controller.core.idempotency import Claim, ClaimsUnavailable
from controller.core.tenants import EVERYONE, UNLIMITED, TenantPolicy, policy_of


def test_a_tenants_own_policy_comes_before_everyones() -> None:
    """Its own, else everyone's, else none at all."""
    own, all_others = TenantPolicy(usd_per_day=None, usd_per_month=None), TenantPolicy()
    assert policy_of({"a": own, EVERYONE: all_others}, "a") is own
    assert policy_of({"a": own, EVERYONE: all_others}, "b") is all_others
    assert policy_of({"a": own}, "b") is UNLIMITED


def test_errors_of_a_cluster_say_what_may_be_done() -> None:
    """When asking again may help, and who can mend what may not be."""
    resting = ClusterUnavailable("no answer", reason="Timeout", retry_after_s=2.5)
    refused = ClusterForbidden("no", reason="Forbidden", cause=ForbiddenCause.QUOTA)
    assert isinstance(resting, ClusterError)
    assert (str(resting), resting.reason, resting.retry_after_s) == ("no answer", "Timeout", 2.5)
    assert (refused.reason, refused.cause) == ("Forbidden", "quota")


def test_a_claim_that_cannot_be_asked_for_is_an_error_of_ours() -> None:
    """It is none of the four answers, and is told as every error of ours."""
    assert len(Claim) == 4
    assert issubclass(ClaimsUnavailable, SpillwayError)
