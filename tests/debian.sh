#!/bin/sh
# Installs what the tests run against: Prometheus, Alertmanager, PostgreSQL, Redis, Chromium.
# Where that is impossible (no apt, not root) the tests that need them say so and are skipped,
# except under CI=true, where they fail.
set -eu
missing=""
have() { command -v "$1" >/dev/null 2>&1; }
have promtool || missing="$missing prometheus"
have amtool || missing="$missing prometheus-alertmanager"
have chromium || missing="$missing chromium"
have redis-server || missing="$missing redis-server"
[ -d /usr/lib/postgresql ] || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if have apt-get && [ "$(id -u)" = 0 ]; then
  echo "installing Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "not installed (needs apt and root):$missing; tests that need them will be skipped"
fi
