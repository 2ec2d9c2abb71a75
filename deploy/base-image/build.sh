#!/usr/bin/env bash
# Makes the base image of attempts where no image registry can be reached: Debian 12 with Python, venv and git.
# Nothing else goes in: packages of a task come from its own environment, mounted read-only.
#
# Needs root, debootstrap and a running Docker engine. Does nothing when the image is there already.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: build.sh [--force] [--with-host-certificates] [--tag NAME]

  --force                    make the image even if there is one of that name
  --with-host-certificates   take this machine's CA bundle along, for a network whose proxy signs certificates itself
  --tag NAME                 name of the image (default: retrain-base:bookworm)

RETRAIN_CI_CACHE        folder that keeps the root file system for the next time (default: ~/.cache/retrain)
RETRAIN_DEBIAN_MIRROR   URL that packages come from (default: that of debootstrap)
USAGE
}

suite=bookworm
tag=retrain-base:$suite
force=no
certificates=no
while (($#)); do
    case $1 in
        --force) force=yes ;;
        --with-host-certificates) certificates=yes ;;
        --tag) tag=${2:?--tag needs a name} && shift ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done

if ! docker version >/dev/null; then
    echo "build.sh: no Docker engine answers; start it (systemctl start docker) and try again." >&2
    exit 3
fi

if [[ $force == no ]] && has=$(docker image inspect --format '{{json .Config.Labels}}' "$tag" 2>/dev/null); then
    if [[ $certificates == no || $has == *'"retrain.host-certificates":"yes"'* ]]; then
        echo "$tag is there already."
        exit 0
    fi
fi

cache=${RETRAIN_CI_CACHE:-$HOME/.cache/retrain}
architecture=$(dpkg --print-architecture)
tarball=$cache/base-$suite-$architecture.tar.gz
mkdir -p "$cache"

if [[ ! -s $tarball ]]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    debootstrap --variant=minbase --include=ca-certificates,git,python3,python3-venv \
        "$suite" "$work/root" ${RETRAIN_DEBIAN_MIRROR:+"$RETRAIN_DEBIAN_MIRROR"}
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/* \
        "$work"/root/usr/share/{doc,man,info,locale}/*
    # Device nodes are the engine's to make, and many machines forbid unpacking them.
    tar --create --gzip --numeric-owner --exclude='./dev/*' --directory "$work/root" --file "$tarball.part" .
    mv "$tarball.part" "$tarball"
fi

docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' \
    --change "LABEL retrain.host-certificates=no" "$tarball" "$tag" >/dev/null

if [[ $certificates == yes ]]; then
    bundle=/etc/ssl/certs/ca-certificates.crt
    container=$(docker create "$tag" true)
    docker cp "$bundle" "$container:$bundle"
    docker commit --change 'LABEL retrain.host-certificates=yes' "$container" "$tag" >/dev/null
    docker rm "$container" >/dev/null
fi
echo "$tag is ready."
