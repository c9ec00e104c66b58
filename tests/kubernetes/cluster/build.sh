#!/usr/bin/env bash
# Builds the servers of Kubernetes 1.20.2 from Debian bookworm's source package: the newest one that has them.
# For tests only: 1.20 is past its end of life. Takes 4 to 7 minutes of two cores, 2 GB of disk meanwhile.
#
# usage: build.sh OUT     OUT is an empty folder; the five programs are put there.
# Needs Debian packages: golang-1.24-go golang-github-modern-go-reflect2-dev dpkg-dev
set -euo pipefail
out=$(realpath "$1")
work=$out.work
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT # Go's caches are read-only
mkdir -p "$work"/{sources,lists/partial,archives/partial,go/src/k8s.io}
cd "$work"

# The source comes from where this machine's own packages come from, through package lists of our own: the machine's
# are not touched.
mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' | awk '$1 == "Debian" { print $2; exit }')
if [ -z "$mirror" ]; then
  echo "build.sh: apt on this machine has no archive of Debian's (run apt-get update)" >&2
  exit 1
fi
keyring=$(ls /usr/share/keyrings/debian-archive-keyring.{pgp,gpg} 2>/dev/null | head -n 1)
printf 'Types: deb-src\nURIs: %s\nSuites: bookworm\nComponents: main\nSigned-By: %s\n' "$mirror" "$keyring" >sources/bookworm.sources
apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" -o Dir::State::lists="$work/lists"
  -o Dir::Cache="$work" -o APT::Sandbox::User="$(id -un)")
"${apt[@]}" update
"${apt[@]}" source --download-only kubernetes
tar -xzf kubernetes_*.orig.tar.gz
kubernetes=$(echo "$work"/kubernetes-*/)
version=v$(basename "$kubernetes" | cut -d- -f2)
ln -s "$kubernetes" go/src/k8s.io/kubernetes

# reflect2 1.0.1 in vendor/ does not link with Go 1.18 and later; Debian's package is 1.0.2.
reflect2=vendor/github.com/modern-go/reflect2
rm -rf "${kubernetes:?}/$reflect2"
mkdir "$kubernetes/$reflect2"
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$kubernetes/$reflect2/"
rm -f "$kubernetes/$reflect2"/*_test.go

# In module mode go.mod would have to be changed and checked against the network, so this is GOPATH mode.
export GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' GOPATH=$work/go GOCACHE=$work/gocache
export PATH=/usr/lib/go-1.24/bin:$PATH
cd go/src/k8s.io/kubernetes

# The package lacks one generated file, which lists the types of the API.
go build -o "$work/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
marked=$(grep -rl --include='*.go' --exclude='zz_generated*' --exclude='*_test.go' -e '+k8s:openapi-gen=' \
  pkg staging/src/k8s.io plugin cmd | grep -v -e code-generator -e sample-apiserver -e /testdata/ | xargs -n1 dirname \
  | sed -e 's#^staging/src/#vendor/#' -e 's#^#k8s.io/kubernetes/#' | LC_ALL=C sort -u | paste -sd,)
"$work/openapi-gen" --logtostderr -i "$marked" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
  -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations" -o "$work/go/src"

names=k8s.io/kubernetes/vendor/k8s.io
stamp="-X $names/component-base/version.gitVersion=$version -X $names/client-go/pkg/version.gitVersion=$version"
stamp+=" -X $names/component-base/version.gitMajor=1 -X $names/component-base/version.gitMinor=20"
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
  # -checklinkname=0: the old code refers to names inside Go's runtime, which Go 1.23 and later refuse otherwise.
  go build -p 2 -ldflags "-s -w -checklinkname=0 $stamp" -o "$out/" "k8s.io/kubernetes/cmd/$program"
done
