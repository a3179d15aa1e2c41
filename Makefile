# Every command a newcomer needs. `make help` lists them.
.PHONY: help up demo test test-all test-cluster test-helm test-infra charts kind-up faults lint bench bench-gateway bench-policy env dev-env vllm-env clients-env infra-env lock clean

# Container images set it; every one of the many processes would then compile all of its code from source, for seconds.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

up: env ## install what is needed and stand the whole system up on this machine
	@.venv/bin/spillway up

demo: env ## watch a pool saturate, spill, grow, un-spill and shrink under real traffic (< 4 minutes)
	@.venv/bin/spillway demo

# Lines are traced where all of them have to be reached: tracing makes the other tests half as fast.
QUICK := -m "not slow and not vllm and not faults and not cluster and not helm"
PURE := core catalogue routing autoscale replay modelpool infra

test: dev-env ## unit, property, contract and end-to-end tests (<= 5 minutes on 2 cores)
	@.venv/bin/python -m pytest -q -n 3 --dist loadfile $(QUICK) $(PURE:%=tests/%) --cov --cov-report=term --cov-fail-under=100
	@.venv/bin/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(QUICK) $(PURE:%=--ignore=tests/%)

test-all: dev-env vllm-env clients-env ## the slower suites: real vLLM on CPU, the demo, long end-to-end runs
	@.venv/bin/python -m pytest -q -m "(slow or vllm or faults or clients) and not cluster"

test-cluster: dev-env vllm-env ## on a real Kubernetes: etcd, API, kubelet, containerd on this machine, built once (as root; scripts/install-system.sh cluster)
	@scripts/cluster-tools.sh
	@.venv/bin/python -m pytest -q -n 4 --dist loadgroup --no-loadscope-reorder -m "cluster or helm"

test-helm: dev-env ## the charts rendered by the real helm: part of test-cluster that needs no cluster (helm is built once)
	@scripts/cluster-tools.sh helm
	@.venv/bin/python -m pytest -q -n 2 tests/helm

test-infra: infra-env ## the program in infra/ under the real engine of Pulumi, with doubles of its providers and a real Kubernetes API (<= 15 minutes on 2 cores; builds what is missing once)
	@scripts/infra-tools.sh
	@scripts/cluster-tools.sh etcd kube-apiserver kubectl helm
	@.venv-infra/bin/pyright --warnings
	@.venv-infra/bin/python -m pytest -q -n 2 --dist loadfile tests/infra

charts: dev-env ## remake values.schema.json and the tables of values of the charts from the comments in values.yaml
	@.venv/bin/python scripts/chart_pages.py

kind-up: ## stand it all up on kind with simulated engines (needs docker, kind, helm and kubectl)
	@scripts/kind-up.sh

faults: dev-env vllm-env ## the fault matrix: what breaks, when it is seen, when it heals, and what must hold
	@scripts/cluster-tools.sh etcd kube-apiserver kube-controller-manager kubectl helm
	@.venv/bin/python -m tests.faults --vllm --cluster

lint: dev-env ## format, lint, types and import contracts
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache

bench-gateway: dev-env ## measure the gateway beside its peers; prints a table with ratios
	@scripts/bench-env.sh
	@.venv/bin/python -m tests.bench

bench-policy: env ## every autoscaler over public traces beside the clairvoyant optimum, then request by request; writes bench-policy.html, .json and bench-policy-requests.json (an hour of CPU)
	@.venv/bin/spillway bench policy --html bench-policy.html --json bench-policy.json
	@.venv/bin/spillway bench policy --requests --json bench-policy-requests.json

bench: bench-gateway bench-policy

env:
	@scripts/env.sh report

dev-env:
	@scripts/env.sh dev

vllm-env: ## install the real vLLM server for CPU into .venv-vllm (6 GB)
	@scripts/vllm-env.sh

clients-env: ## install the clients that the suites drive (openai for Node, Codex, Claude Code, LangChain, LlamaIndex; 1 GB)
	@scripts/clients-env.sh

infra-env: dev-env ## install the SDKs and tools of infra/ into .venv-infra (1.2 GB)
	@scripts/infra-env.sh

lock: env ## remake the hash-locked requirements
	@scripts/lock.sh

clean: ## remove environments, caches and local state
	@rm -rf .venv .venv-vllm .venv-infra .venv-bench-* .cluster-tools .infra-tools .clients .venv-clients .spillway .mypy_cache .ruff_cache .pytest_cache .hypothesis
