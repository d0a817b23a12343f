# The image is the binary and nothing else: no shell, no C library, no CA
# certificates (nothing here calls out over TLS).
#
#	docker build --build-arg VERSION=v1.2.3 -t authsvc .
#	docker run -p 127.0.0.1:8080:8080 -e AUTHSVC_LOGIN=name -e AUTHSVC_ALLOW_NAME_LOGIN=true authsvc
#
# RUN is in exec form with full paths, so any image with Go where the official
# ones have it will do, also one without a shell. (buildah's chroot isolation
# does not look into the image's PATH.)
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
# Modules first: this layer stays until go.mod or go.sum change.
COPY go.mod go.sum ./
RUN ["/usr/local/go/bin/go", "mod", "download"]
COPY . .
ARG VERSION=
# No shell, so nothing puts VERSION into RUN's arguments; ENV does.
ENV CGO_ENABLED=0 GOFLAGS="-trimpath '-ldflags=-s -w -X main.release=${VERSION}'"
RUN ["/usr/local/go/bin/go", "build", "-o", "/authsvc", "./cmd/authsvc"]

FROM scratch
COPY --from=build /authsvc /authsvc
# A number, because there is no /etc/passwd, and because Kubernetes'
# runAsNonRoot cannot tell what a name stands for.
USER 65532:65532
# A container's own loopback is reachable by nobody. The admin listener stays
# there by default, which is where HEALTHCHECK asks; for Prometheus in another
# container set AUTHSVC_ADMIN_LISTEN=:8081 and do not publish that port.
ENV AUTHSVC_LISTEN=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/authsvc", "health"]
ENTRYPOINT ["/authsvc"]
