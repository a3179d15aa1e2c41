"""A second program: one more model on a stack of infra/, of which it knows no more than its outputs."""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import eks, s3
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs


def kubeconfig(said: list[str]) -> str:
    """As a client would have it."""
    name, endpoint, authority = said
    cluster_of_it = {"server": endpoint, "certificate-authority-data": authority}
    return json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": name, "cluster": cluster_of_it}]})


def values(told: dict) -> dict[str, object]:
    """Of the chart `serving`, out of the stack's `helm_values`."""
    return {
        "fullnameOverride": "second",
        "image": {"repository": told["images"]["engine"]},
        "model": {"hub": {"existingSecret": told["hubSecret"]}},
        "modelPool": {"nodePool": told["nodePools"][0]},
    }


stack = pulumi.StackReference(pulumi.Config().require("stack"))
cluster = eks.get_cluster_output(name=stack.require_output("cluster_name"))
authority = cluster.certificate_authorities[0].data
provider = k8s.Provider(
    "cluster", kubeconfig=pulumi.Output.all(cluster.name, cluster.endpoint, authority).apply(kubeconfig)
)
s3.BucketObjectv2("told", bucket=stack.require_output("model_bucket"), key="notes/second.txt", content="beside")
Release(
    "second",
    ReleaseArgs(
        name="second",
        namespace=stack.require_output("namespaces")["spillway"],
        chart="../helm/serving",
        values=stack.require_output("helm_values").apply(values),
        skip_await=True,
    ),
    opts=pulumi.ResourceOptions(provider=provider),
)
pulumi.export("asked_at", stack.require_output("gateway_url"))
