# vLLM as an engine of Spillway: any image in which `python3` finds vLLM, as a numeric user, with what `engine_start.py` adds.
#   docker build -f docker/engine.Dockerfile -t spillway/engine:0.1.0 .
# Without a GPU: a base with Python alone, and VLLM_SITE=<folder>, where an environment made by scripts/vllm-env.sh is mounted.
# --max-num-queued-reqs, --shutdown-timeout and the fixes of 2026 are in vLLM from 0.32.0 on.
ARG BASE_IMAGE=vllm/vllm-openai:v0.32.0
FROM ${BASE_IMAGE}
USER 0
# Weights and compiled kernels; a volume, or they are fetched and built again at each start.
RUN install -d -o 10001 -g 10001 -m 0700 /cache
COPY docker/engine_start.py docker/healthcheck.py /opt/spillway/
ARG VLLM_SITE=
# USER: torch asks for the user's name, and a number has none.
ENV PYTHONPATH=${VLLM_SITE} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=spillway LOGNAME=spillway \
    HF_HOME=/cache/huggingface VLLM_CACHE_ROOT=/cache/vllm TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton XDG_CACHE_HOME=/cache/xdg VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# It listens once its weights are loaded: minutes.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30m CMD ["python3", "/opt/spillway/healthcheck.py", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["python3", "/opt/spillway/engine_start.py"]
CMD ["--help"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Spillway engine" \
      org.opencontainers.image.description="vLLM with the launch arguments of Spillway: drains on SIGTERM, asks for a key, fetches nothing for callers" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
