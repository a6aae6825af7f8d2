# An image with nothing in it but the program and the roots of public CAs:  docker build --tag turnbridge .
#
# docs/docker-and-kubernetes.md says how to run it.

FROM docker.io/library/rust:1-slim-bookworm AS builder
# Another profile of cargo builds faster, and makes a slower program.
ARG PROFILE=release
WORKDIR /src
COPY . .
# Linked statically, with the C library of this image: the program needs no other file. The name of the target keeps these
# flags away from what runs while it is built.
RUN target=$(rustc -vV | sed -n 's/^host: //p') && \
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --profile "$PROFILE" --target "$target" --bin turnbridge && \
    folder=$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE") && \
    mkdir -p /image/usr/bin /image/etc/ssl/certs /owned/var/lib/turnbridge /owned/run/turnbridge && \
    strip -o /image/usr/bin/turnbridge "target/$target/$folder/turnbridge" && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    echo 'turnbridge:x:3478:3478::/var/lib/turnbridge:/usr/sbin/nologin' >/image/etc/passwd && \
    echo 'turnbridge:x:3478:' >/image/etc/group && \
    chmod 700 /owned/var/lib/turnbridge

FROM scratch
LABEL org.opencontainers.image.title="Turnbridge" \
      org.opencontainers.image.description="STUN and TURN server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=builder --chown=3478:3478 /owned/ /
COPY --from=builder /image/ /
# A number, so that Kubernetes sees that it is not root.
USER 3478:3478
# The secret that a server without one makes, and certificates by ACME.
ENV STATE_DIRECTORY=/var/lib/turnbridge
VOLUME /var/lib/turnbridge
# Clients; the relay ports are too many to be published one by one.
EXPOSE 3478/udp 3478/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/turnbridge", "healthcheck"]
ENTRYPOINT ["/usr/bin/turnbridge"]
