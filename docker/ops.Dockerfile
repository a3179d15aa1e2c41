# Two images of one build: `ops` (spillway gateway, spillway controller, the command line) and `engine-sim` (a simulated
# vLLM server, and the stand-in provider).
#   docker build -f docker/ops.Dockerfile -t spillway/ops:0.1.0 .
#   docker build -f docker/ops.Dockerfile -t spillway/engine-sim:0.1.0 --target engine-sim .
# BASE_IMAGE only has to bring Python >= 3.11 with venv, a C library and the authorities' certificates: the final images start
# from nothing and take from it what Python needs.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
# Without a network: PIP_NO_INDEX=1 and PIP_FIND_LINKS=<folder with the wheels>.
ARG PIP_NO_INDEX=
ARG PIP_FIND_LINKS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0
WORKDIR /build
COPY requirements/bootstrap.txt requirements/runtime.txt requirements/
RUN python3 -m venv tools \
 && python3 -m venv --without-pip /opt/spillway \
 && tools/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r requirements/bootstrap.txt \
 && tools/bin/python -m pip --python /opt/spillway/bin/python install --quiet --only-binary :all: --require-hashes -r requirements/runtime.txt
COPY docker/rootfs.py .
RUN python3 rootfs.py base /rootfs /opt/spillway \
 && mkdir /state && mv /rootfs/var/lib/spillway /state/
COPY pyproject.toml README.md LICENSE ./
COPY controller controller
RUN tools/bin/hatchling build --target wheel --directory dist \
 && tools/bin/python -m pip --python /opt/spillway/bin/python install --quiet --no-deps --no-index dist/*.whl \
 && python3 rootfs.py package /package /opt/spillway spillway

FROM scratch AS python
COPY --from=build /rootfs /
COPY --from=build --chown=10001:10001 /state /var/lib
COPY --from=build /package /
ENV PATH=/opt/spillway/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/spillway SPILLWAY_STATE_DIR=/var/lib/spillway
WORKDIR /var/lib/spillway
USER 10001:10001

FROM python AS engine-sim
COPY docker/healthcheck.py /opt/spillway/
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["python", "/opt/spillway/healthcheck.py", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["spillway", "engine-sim"]
CMD ["--help"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Spillway simulated engine" \
      org.opencontainers.image.description="Speaks vLLM's API and metrics with the timing of a model on a GPU; also the stand-in for external providers" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM python AS ops
COPY docker/healthcheck.py /opt/spillway/
# gateway, its admin server, controller
EXPOSE 8080 8081 8082
STOPSIGNAL SIGTERM
# The gateway's admin server where it runs, else the controller.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s CMD ["python", "/opt/spillway/healthcheck.py", "http://127.0.0.1:8081/readyz", "http://127.0.0.1:8082/readyz"]
ENTRYPOINT ["spillway"]
CMD ["--help"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Spillway" \
      org.opencontainers.image.description="Gateway and controller for your own LLM servers: self-host what you can, spill what you can't" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
