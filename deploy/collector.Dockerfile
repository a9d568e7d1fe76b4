# The collector's package in a Debian: built first by «python -m deploy.debian.build collector --out dist».
FROM debian:bookworm-slim
RUN --mount=type=bind,source=dist,target=/dist \
    groupadd --gid 900 xiaotong-collector && \
    useradd --uid 900 --gid 900 --no-create-home --home-dir /var/lib/xiaotong-collector xiaotong-collector && \
    apt-get update && \
    apt-get install -y --no-install-recommends systemd-standalone-sysusers fonts-wqy-microhei \
        /dist/xiaotong-collector_*_$(dpkg --print-architecture).deb && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /var/lib/xiaotong-collector
USER 900:900
VOLUME /var/lib/xiaotong-collector
ENTRYPOINT ["/opt/xiaotong/collector/bin/xiaotong-collector"]
CMD ["serve", "--config", "/etc/xiaotong/collector.yaml"]
