# One image for `ray-import serve`, `ray-import work`, `ray-import reimport` and the machines of a Ray cluster.
# docs/service.md says how it is run.

FROM python:3.13.15-slim-trixie AS build

WORKDIR /src
COPY requirements.txt requirements-build.txt ./
# By hash, as wheels, and nothing that is not in these files.
RUN python -m venv --without-pip /app \
    && pip --python /app/bin/python install --no-cache-dir --no-compile --no-deps --only-binary=:all: --require-hashes -r requirements.txt \
    && pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY ray_import ray_import
RUN pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
    && pip --python /app/bin/python install --no-cache-dir --no-compile --no-deps --no-index /wheel/*.whl \
    && pip --python /app/bin/python check
# Ray starts its processes two to three times slower without the .pyc files, and the user below could not write them.
# Not by time stamps, which is the default: some builders round them in a layer, and Python then ignores the files.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app/lib

FROM python:3.13.15-slim-trixie

# The certificates are those of the day of the build. The base image comes with pip, which nothing needs here, and
# without the .pyc files of Python's own library.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && pip uninstall --yes pip \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && groupadd --gid 10001 ray-import \
    && useradd --no-log-init --uid 10001 --gid 10001 --create-home ray-import
COPY --from=build /app /app

ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /home/ray-import
EXPOSE 8100

# No ENTRYPOINT, so that a command replaces this one as a whole on every platform; no HEALTHCHECK, because a worker and
# a machine of Ray have no /health: compose.yaml and render.yaml have one where it belongs.
CMD ["ray-import", "serve", "--host", "0.0.0.0", "--to", "postgres"]
