#!/usr/bin/env bash
# Runs net/http's own tests of its client against the Transport of this checkout.
# See README.md; the flags are those of main.go.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export GOTOOLCHAIN=local GOWORK=off
cd "$here"
exec go run . -here "$here" -project "$here/../.." "$@"
