#!/bin/sh
# Locks every dependency with hashes and without a registry's address.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
flags="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet"
# shellcheck disable=SC2086
$uv pip compile $flags --all-extras --group dev pyproject.toml -o requirements/dev.txt
# shellcheck disable=SC2086
echo "uv>=0.9" | $uv pip compile $flags - -o requirements/uv.txt
# Versions that cannot live beside the others: tests put them in front of the path of one process.
side() {
  name=$1
  shift
  # shellcheck disable=SC2086
  printf '%s\n' "$@" | $uv pip compile $flags - -o "requirements/side-$name.txt"
}
side arq "arq>=0.28"
side sqlalchemy20 "sqlalchemy[asyncio]>=2.0.45,<2.1" "aiosqlite>=0.22"
# What the overhead benchmark compares with, each in a folder of its own.
peer() {
  name=$1
  shift
  # shellcheck disable=SC2086
  printf '%s\n' "$@" "fastapi>=0.165" "sqlalchemy>=2.1" | $uv pip compile $flags - -o "requirements/peer-$name.txt"
}
peer otel "opentelemetry-sdk>=1.45" "opentelemetry-exporter-otlp-proto-http>=1.45" \
  "opentelemetry-instrumentation-fastapi>=0.66b0" "opentelemetry-instrumentation-sqlalchemy>=0.66b0" \
  "opentelemetry-instrumentation-logging>=0.66b0"
peer logfire "logfire[fastapi,sqlalchemy]"
peer sentry "sentry-sdk[fastapi,sqlalchemy]"
peer elastic "elastic-apm"
