# One image for the plane and its workers: the locked dependencies in a virtual environment, the package in it, no tools.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/trueup
WORKDIR /src
COPY requirements.lock ./
RUN /opt/trueup/bin/pip install --quiet --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY rules rules
COPY controlplane controlplane
COPY probes probes
COPY dashboards dashboards
RUN /opt/trueup/bin/pip install --quiet --no-deps .

FROM python:3.11-slim
RUN groupadd --gid 10001 trueup \
 && useradd --uid 10001 --gid trueup --home-dir /data --no-create-home --shell /usr/sbin/nologin trueup \
 && install -d -o trueup -g trueup -m 0700 /data
COPY --from=build /opt/trueup /opt/trueup
ENV PATH=/opt/trueup/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRUEUP_HOME=/data \
    TRUEUP_HOST=0.0.0.0 \
    TRUEUP_PORT=8700
USER trueup
WORKDIR /data
VOLUME /data
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['TRUEUP_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["trueup"]
CMD ["up", "--no-sandbox"]
