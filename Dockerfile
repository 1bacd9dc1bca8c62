# mirrorvip as an image: one static binary, the system's list of authorities, and no shell.
#
#   docker build -t mirrorvip .
#
# Bases and their digests are arguments, so that a mirror of the registry or a pinned version need no other file:
#
#   docker build -t mirrorvip --build-arg RUNTIME_DIGEST=sha256:... --build-arg BUILD_DIGEST=sha256:... .
#
# The build stage needs a Rust toolchain for a musl target that links statically by default, as Alpine's does; the
# runtime stage needs nothing but certificates of authorities, and those only for https and AWS.

ARG BUILD_IMAGE=rust:1.95-alpine
ARG BUILD_DIGEST=
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot
ARG RUNTIME_DIGEST=

FROM ${BUILD_IMAGE}${BUILD_DIGEST:+@${BUILD_DIGEST}} AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY docs/runbook docs/runbook
COPY src src
# Which commit this is, for the status document; `--build-arg MIRRORVIP_COMMIT=$(git rev-parse HEAD)`.
ARG MIRRORVIP_COMMIT
RUN cargo build --release --locked --no-default-features
# A volume that is mounted there first takes over its owner.
RUN mkdir -m 0750 state

FROM ${RUNTIME_IMAGE}${RUNTIME_DIGEST:+@${RUNTIME_DIGEST}}
COPY --from=build /source/target/release/mirrorvip /usr/bin/mirrorvip
COPY --from=build --chown=65532:65532 /source/state /var/lib/mirrorvip
# For `docker cp`: there is no shell in here to read them with.
COPY README.md CHANGELOG.md /usr/share/doc/mirrorvip/
COPY docs /usr/share/doc/mirrorvip/docs
COPY config/docker /usr/share/doc/mirrorvip/config/docker
COPY config/kubernetes /usr/share/doc/mirrorvip/config/kubernetes
COPY config/terraform /usr/share/doc/mirrorvip/config/terraform
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/bin/mirrorvip", "healthcheck"]
ENTRYPOINT ["/usr/bin/mirrorvip"]
CMD ["run"]
LABEL org.opencontainers.image.title="mirrorvip" \
      org.opencontainers.image.description="Status page for load balancers from the role of an InterSystems IRIS mirror member" \
      org.opencontainers.image.licenses="Apache-2.0"
