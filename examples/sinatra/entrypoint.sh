#!/bin/sh
# Says what is started, then becomes it, so that signals reach it.
set -eu
echo "starting as $(id -un): $*"
exec "$@"
