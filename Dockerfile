FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT DATE
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/howdah/howdah/server/version.commit=$COMMIT -X github.com/howdah/howdah/server/version.date=$DATE" \
    -o /out/howdah ./cmd/howdah && \
    install -d -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/howdah /howdah
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 6443
ENTRYPOINT ["/howdah"]
CMD ["server", "--data-dir", "/data"]
