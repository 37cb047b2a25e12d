#!/bin/sh
# docker/Dockerfile carried out in a Debian root of debootstrap, and then the composition's commands run in what came out.
# An engine is not needed; root and debootstrap are.
set -eu

checkout=$(cd "$(dirname "$0")/../.." && pwd)
roots=$(mktemp -d)
trap 'rm -rf --one-file-system "$roots"' EXIT
chmod 755 "$roots"

cd "$checkout"
.venv/bin/python -m tests.e2e.image "$roots"
image=$roots/txstore
du -sh "$image"
TXSTORE_IMAGE=$image .venv/bin/python -m pytest tests/e2e/test_docker.py
