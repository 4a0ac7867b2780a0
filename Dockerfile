# One image for the daemon and for its workers: `run FOLDER` or `worker KIND`.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY ragd ragd
COPY plugins plugins
# The lock holds the versions that were tested; only what ragd needs to run is taken from it.
RUN python -m venv /opt/ragd \
 && /opt/ragd/bin/pip install --no-cache-dir --constraint requirements.lock .

FROM python:3.11-slim
COPY --from=build /opt/ragd /opt/ragd
# A user by number, as engines want it that refuse root. Named volumes take the owner of the folder they are mounted on.
RUN groupadd --system --gid 10001 ragd \
 && useradd --system --uid 10001 --gid ragd --home-dir /var/lib/ragd --shell /usr/sbin/nologin ragd \
 && install -d -o ragd -g ragd -m 0700 /var/lib/ragd /var/lib/ragd/models
ENV PATH=/opt/ragd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RAGD_STATE=/var/lib/ragd
USER 10001:10001
WORKDIR /var/lib/ragd
# SIGTERM stops everything in order, SIGHUP has the configuration read again.
STOPSIGNAL SIGTERM
ENTRYPOINT ["ragd"]
CMD ["run", "/documents"]
