# partita serve in a container: docs/guide/docker.md.
FROM python:3.13-slim-bookworm AS build
# Where PyTorch comes from: https://download.pytorch.org/whl/cu128 is one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=${TORCH_INDEX} PIP_NO_CACHE_DIR=1
WORKDIR /partita
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python3 -m venv /opt/partita \
    && /opt/partita/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt ".[serve]"

FROM python:3.13-slim-bookworm
COPY --from=build /opt/partita /opt/partita
RUN useradd --create-home --uid 1000 partita \
    && mkdir /library /weights \
    && chown partita /library /weights
# The NVIDIA_ variables let a container started with --gpus see the graphics cards.
ENV PATH=/opt/partita/bin:$PATH \
    PARTITA_HOME=/weights \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
VOLUME ["/library", "/weights"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/health', timeout=4)"]
# PARTITA_TOKEN must be given: other machines than the container use the server.
CMD ["partita", "serve", "--host", "0.0.0.0", "--port", "8000", "--library", "/library"]
