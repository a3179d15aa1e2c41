"""One stack, wired: what the settings say becomes the Args of components, and what depends on what.

Whatever acts in AWS by itself (controllers in the cluster) depends on the way out and on its rights, so that a destroy
takes it down while it can still clean up behind itself.
"""

from __future__ import annotations

import pulumi
from pulumi.runtime import config as program_config

from infra.plan import plan, table
from infra.schema import StackSettings
from infra.settings import StackProblems, from_config
from infra.stack.foundation import Foundation, make_foundation
from infra.stack.pools import make_pools
from infra.stack.services import make_services
from infra.stack.serving import Served, make_serving


def configured() -> StackSettings:
    """The settings of the stack that Pulumi runs; a run error with all that is wrong with them otherwise."""
    given = program_config.get_config_env() | program_config.CONFIG.get()
    try:
        return from_config(given)
    except StackProblems as problems:
        raise pulumi.RunError(str(problems)) from problems


def build(settings: StackSettings) -> None:
    """Every resource of the stack is registered; what it costs and whether the models fit is printed first."""
    whole = plan(settings)
    pulumi.info("\n" + table(whole))
    for problem in whole.problems:  # warnings alone: with an error there are no settings
        pulumi.warn(str(problem))
    base = make_foundation(settings)
    pools = make_pools(settings, base)
    services = make_services(settings, base, pools)
    _export(settings, base, make_serving(settings, base, services))


def _export(settings: StackSettings, base: Foundation, served: Served) -> None:
    name, region = settings.name, settings.region
    pulumi.export("kubeconfig_command", f"aws eks update-kubeconfig --name {name} --region {region}")
    pulumi.export("cluster_name", base.cluster.cluster_name)
    pulumi.export("gateway_url", served.gateway_url)
    pulumi.export("namespaces", served.namespaces)
    pulumi.export("registry", base.registry.repository_urls)
    pulumi.export("model_bucket", served.model_bucket)
    pulumi.export("helm_values", served.helm_values)
