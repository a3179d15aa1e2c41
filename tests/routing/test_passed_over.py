"""What `plan_chain` left out, for explanations."""

from __future__ import annotations

from controller.routing.choose import passed_over, plan_chain

from .builders import keys, profile, table


def test_what_cannot_serve_is_told_with_its_reason() -> None:
    """Every key that was wanted is in the chain or among those passed over, never in both."""
    fallbacks = {"gpt-4o": ("keyless", "small", "off", "claude-now")}
    request, rules = profile(requested_model="gpt-4o", input_tokens_estimate=5000), table(fallbacks=fallbacks)
    assert keys(plan_chain(request, rules)) == ["gpt-4o", "claude-now"]
    assert passed_over(request, rules) == {
        "keyless": "no key for provider together",
        "small": "context of 4096 tokens is too short",
        "off": "unknown, shut down or switched off",
    }


def test_a_chain_that_serves_whole_passes_nobody_over() -> None:
    """Nothing to tell."""
    assert passed_over(profile(requested_model="gpt-4o"), table(fallbacks={})) == {}
