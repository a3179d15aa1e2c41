"""Turns the checked sections of spillway.yaml into the frozen values the rest of the program knows."""

from __future__ import annotations

from controller.config.schema import EngineSection, GatewaySection, PoolSection, RulesSection
from controller.config.settings import Caps, GatewaySettings, Timeouts
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.routing.phases import DEFAULT_RULES, Rule, RuleTable


def engine_of(section: EngineSection) -> EngineArgs:
    """Engine arguments; where the file says no token budget, that of vLLM."""
    return EngineArgs(**section.model_dump(exclude_none=True))


def pool_of(section: PoolSection) -> Pool:
    """One pool, with bare `http://host:port` endpoints."""
    return Pool(
        name=section.name,
        model=section.model,
        instance_type=section.instance_type,
        engine=engine_of(section.engine),
        slo=Slo(**section.slo.model_dump()),
        scale=ScalePolicy(
            min_replicas=section.replicas.min, max_replicas=section.replicas.max, **section.autoscale.model_dump()
        ),
        spill=SpillPolicy(**section.spill.model_dump()),
        endpoints=tuple(bare_endpoint(endpoint) for endpoint in section.endpoints),
        model_dir=section.model_dir,
        node_pool=section.node_pool,
    )


def bare_endpoint(endpoint: str) -> str:
    """`http://host:port` without the `/v1` that people put behind it."""
    return endpoint.strip().rstrip("/").removesuffix("/v1")


def gateway_of(section: GatewaySection) -> GatewaySettings:
    """The gateway's part."""
    return GatewaySettings(
        host=section.host,
        port=section.port,
        admin_host=section.admin_host,
        admin_port=section.admin_port,
        drain_lead_s=section.drain_lead_s,
        drain_s=section.drain_s,
        media_hosts=section.media_hosts,
        resume=section.resume,
        caps=Caps(**section.caps.model_dump()),
        timeouts=Timeouts(**section.timeouts.model_dump()),
    )


def rules_of(section: RulesSection | None) -> RuleTable:
    """The user's table, or the built-in one."""
    if section is None:
        return DEFAULT_RULES
    return RuleTable(
        rules=tuple(
            Rule(
                model=rule.model,
                phases=rule.phases,
                tasks=rule.tasks,
                except_tasks=rule.except_tasks,
                complexities=rule.complexities,
                needs_vision=rule.needs_vision,
            )
            for rule in section.table
        ),
        default_model=section.default_model,
    )
