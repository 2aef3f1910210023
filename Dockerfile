# Herald's image: the two binaries and what they load, nothing else. scripts/image builds and checks it, also where there is no Docker
# engine. Any builder takes this file (docker build, docker buildx, buildah bud, podman build): no cache mounts, no heredocs.
#
#   docker build -t herald --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --read-only --cap-drop ALL -v "$PWD/herald.yaml:/etc/herald/herald.yaml:ro" herald --config=/etc/herald/herald.yaml
# The base of the build only; to pin it: --build-arg BASE_IMAGE=debian@sha256:… (docs/kubernetes.md, "Pinning images").
ARG BASE_IMAGE=debian:sid-slim
FROM ${BASE_IMAGE} AS build
# The mirror of the base if empty. The address of a snapshot makes every package exact, not only those of scripts/sid/preferences.
ARG DEBIAN_MIRROR
WORKDIR /src
# Only sid, with two packages from experimental, has a gRPC with limits against HTTP/2 floods (decision 0019).
# The packages are named in install-deps, and a changed source does not install them anew.
COPY scripts/install-deps scripts/lib.sh scripts/sid-root scripts/
COPY scripts/sid scripts/sid
RUN HERALD_DEBIAN_MIRROR="$DEBIAN_MIRROR" scripts/sid-root apt / && apt-get update -qq && apt-get install -qq -y --no-install-recommends ca-certificates >/dev/null \
 && scripts/install-deps build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset release -DBUILD_TESTING=OFF && cmake --build --preset release --target herald heraldctl
# The shared libraries are those that ldd names, with their packages' licences and with what scanners read. gRPC, Protobuf and abseil
# are in the programs (decision 0017). Symbols stay in this stage: --target build.
RUN scripts/collect-runtime /runtime build/release/bin/herald build/release/bin/heraldctl

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="herald" \
      org.opencontainers.image.description="Push service: gRPC producers in, WebSocket browsers out" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="scratch"
COPY --from=build /runtime/ /
# A number, so that Kubernetes can see that it is not root. Herald writes no file: the root may be read-only, and needs no volume.
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# client_addr, grpc_addr, admin_addr. The last two listen on loopback unless told otherwise.
EXPOSE 8080 50051 9090
STOPSIGNAL SIGTERM
# Asks the admin port on loopback; where admin_addr has another port, set it with HERALD_ADMIN_ADDR, which both programs read.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/bin/heraldctl", "health", "--timeout=2s"]
ENTRYPOINT ["/usr/bin/herald"]
