# Two stages: the second has no compiler, no pip cache and no build tree.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
ARG PIP_FIND_LINKS PIP_CERT PIP_DEFAULT_TIMEOUT
WORKDIR /src
RUN python3 -m venv /opt/emulator
COPY pyproject.toml README.md LICENSE ./
COPY emulator ./emulator
RUN /opt/emulator/bin/pip install --quiet '.[speech]' \
 && /opt/emulator/bin/pip uninstall --quiet --yes pip

FROM python:3.12-slim
COPY --from=build /opt/emulator /opt/emulator
RUN useradd --create-home --uid 10001 emulator \
 && mkdir -p /srv/emulator/.emulator && chown emulator /srv/emulator/.emulator
WORKDIR /srv/emulator
COPY LICENSE NOTICES.md ./
COPY config ./config
COPY flows ./flows
USER emulator
ENV PATH=/opt/emulator/bin:$PATH PYTHONUNBUFFERED=1
# Stops as the process does on Ctrl-C: stop to the bots, BYE to the callers.
STOPSIGNAL SIGTERM
EXPOSE 5060/udp 5060/tcp 5061/tcp 8080/tcp 10000-10099/udp
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/emulator/v1/ready', timeout=2)"]
ENTRYPOINT ["exotel-emulator"]
CMD ["serve", "--config", "config/container.yaml"]
