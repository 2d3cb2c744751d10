# The backend alone: docker-compose.yml has Label Studio beside it. `make docker-check` runs these steps without Docker.
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# What is installed changes less often than this project: its layer is kept. "sync" installs what is in the lock and
# nothing else: label-studio-sdk declares packages that requirements/without.txt leaves out.
COPY requirements/uv.txt requirements/run.txt requirements/build.txt requirements/fastembed.txt requirements/
RUN python -m venv /opt/tools \
    && /opt/tools/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt \
    && /opt/tools/bin/uv pip install --quiet --python /opt/tools --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/backend \
    && /opt/tools/bin/uv pip sync --quiet --python /opt/backend --require-hashes --only-binary :all: \
        --compile-bytecode requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY backend backend
RUN /opt/tools/bin/python -m hatchling build --target wheel --directory /opt/dist \
    && /opt/tools/bin/uv pip install --quiet --python /opt/backend --no-deps --compile-bytecode /opt/dist/*.whl
# A model that is a part of the image, as AL_ENCODER names it: --build-arg ENCODER=fastembed:OWNER/NAME.
ARG ENCODER=""
RUN if [ -n "$ENCODER" ]; then \
        /opt/tools/bin/uv pip install --quiet --python /opt/backend --require-hashes --only-binary :all: \
            --compile-bytecode -r requirements/fastembed.txt \
        && AL_MODELS=/opt/backend/models /opt/backend/bin/label-studio-al encoders --fetch "$ENCODER" \
        && chmod -R a+rX /opt/backend/models; \
    fi

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="label-studio-active-learning" \
      org.opencontainers.image.description="A live active-learning loop for Label Studio" \
      org.opencontainers.image.licenses="Apache-2.0"
# These folders give new volumes their owner. Group 0, as Label Studio's image and PostgreSQL's have it: each is given
# one file.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /data --shell /usr/sbin/nologin backend \
    && install --directory --owner 10001 --group 0 --mode 0700 /data \
    && install --directory --owner 10001 --group 0 --mode 0750 /secrets /label-studio-secrets /database-secrets
COPY --from=build /opt/backend /opt/backend
ARG ENCODER=""
ENV PATH=/opt/backend/bin:$PATH \
    AL_ENCODER=$ENCODER \
    AL_MODELS=/opt/backend/models \
    MODEL_DIR=/data \
    PORT=9090 \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER 10001:0
EXPOSE 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=2)"]
ENTRYPOINT ["label-studio-al"]
CMD ["serve", "--host", "0.0.0.0"]
