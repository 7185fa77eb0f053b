# Every stage, one image: `docker compose up` runs it, `docker compose run --rm cli COMMAND` is the program `peekproof`.
FROM python:3.13-slim

WORKDIR /srv/peekproof
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1

# What the project needs at run time and to be built, with the lock's versions and hashes; no broker, no tools of ours.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); \
    print(*p['project']['dependencies'], *p['build-system']['requires'], sep='\n')" > /tmp/wanted.txt \
    && pip install --constraint requirements.lock --requirement /tmp/wanted.txt

COPY README.md ./
COPY schemas schemas
COPY evaluation evaluation
COPY pipeline pipeline
RUN pip install --no-deps --no-build-isolation .
COPY configs configs

# Compiled kernels are kept beside the data, so that only the first start compiles.
ENV PEEKPROOF_DATA=/data PEEKPROOF_CACHE=/data/cache
RUN useradd --uid 10001 peekproof && install --directory --owner=peekproof /data
USER peekproof
ENTRYPOINT ["peekproof"]
