# cipp-mcp in a container. It needs no write access anywhere and runs as nobody in particular:
#   docker build -t cipp-mcp .
#   docker run -i --rm --read-only --env-file cipp.env cipp-mcp                          (stdio, for a host on this machine)
#   docker run --rm --read-only --env-file cipp.env -p 8000:8000 cipp-mcp serve --transport http
# For HTTP set CIPP_HTTP_LISTEN=0.0.0.0:8000 in cipp.env, and how callers are authenticated (README).

# Any image with Python 3.11 or newer and pip; both stages need the same one.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# Optional parts of cipp-mcp, separated by commas.
ARG EXTRAS=otel,redis
WORKDIR /opt/source
COPY LICENSE README.md pyproject.toml ./
COPY cipp_mcp cipp_mcp
COPY tool_specs tool_specs
RUN python -m venv /opt/cipp-mcp
RUN /opt/cipp-mcp/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check ".[${EXTRAS}]"
RUN /opt/cipp-mcp/bin/python -m pip uninstall --yes --quiet pip setuptools wheel
# Bytecode of everything, the standard library included: slim images come without, a read-only container cannot write
# it, and each start would take a second longer. It is never checked against the sources, which do not change.
RUN PYTHONPYCACHEPREFIX=/opt/bytecode python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -x "/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|pip|setuptools)/" \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" /opt/cipp-mcp/lib

FROM ${BASE}
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip setuptools wheel
COPY --from=build /opt/cipp-mcp /opt/cipp-mcp
COPY --from=build /opt/bytecode /opt/bytecode
ENV PATH=/opt/cipp-mcp/bin:${PATH} \
    PYTHONPYCACHEPREFIX=/opt/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "-m", "cipp_mcp.cli.health"]
ENTRYPOINT ["cipp-mcp"]
