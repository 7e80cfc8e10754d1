# The one image of all stream services: docker build -t cflight . && docker run cflight cflight-transform --help
# Runs as any user, with a read-only root file system and no writable folder.

# Pin a digest in production: docker build --build-arg BASE=python@sha256:…
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/cflight
WORKDIR /src
# First what changes seldom.
COPY services/requirements.lock services/requirements.lock
RUN /opt/cflight/bin/pip install --require-hashes --no-deps --only-binary :all: --requirement services/requirements.lock
COPY requirements.lock .
RUN sed -n 's/^\(hatchling\|packaging\|pathspec\|pluggy\|trove-classifiers\)\(==[^ ;]*\).*/\1\2/p' requirements.lock > build.txt \
 && pip install --no-deps --requirement build.txt
COPY pyproject.toml hatch_build.py README.md ./
COPY cflight cflight
COPY infra infra
COPY ksql ksql
COPY services services
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/cflight/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/cflight/bin/python -m compileall -q -j 0 /opt/cflight/lib \
 && /opt/cflight/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="cflight" \
      org.opencontainers.image.description="The stream services: ingest, transform, cheapest, compressor" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/cflight /opt/cflight
# In a container the port must be reachable from outside of it, and is the same for all services.
ENV PATH=/opt/cflight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HTTP_HOST=0.0.0.0 \
    HTTP_PORT=8080
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["cflight-ingest"]
