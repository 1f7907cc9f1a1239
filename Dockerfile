# CPU:         docker build -t strata .
#              docker run --rm -v strata-outputs:/outputs strata
# Chat page:   docker build -t strata:chat --target chat .          (python app.py deploy=FOLDER writes what runs it)
# NVIDIA GPU:  docker build -t strata:gpu --target gpu .
#              docker run --rm --gpus all --shm-size 16g -v strata-outputs:/outputs strata:gpu python train.py model=gemma-2-9b-it ...
FROM python:3.11-slim-bookworm AS packages
COPY requirements/lock.txt /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/lock.txt

# Also vLLM, and the compiler that Triton's kernels need.
FROM packages AS gpu-packages
COPY requirements.txt /tmp/strata/
COPY requirements/gpu.txt /tmp/strata/requirements/
RUN /opt/venv/bin/pip install --no-cache-dir -r /tmp/strata/requirements/gpu.txt

# Also Gradio.
FROM packages AS chat-packages
COPY requirements.txt /tmp/strata/
COPY requirements/ui.txt /tmp/strata/requirements/
RUN /opt/venv/bin/pip install --no-cache-dir -r /tmp/strata/requirements/ui.txt

FROM python:3.11-slim-bookworm AS runtime
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HF_HOME=/outputs/huggingface
RUN useradd --create-home --uid 1000 strata \
    && mkdir /outputs /opt/strata \
    && chown strata /outputs
WORKDIR /opt/strata
VOLUME /outputs
CMD ["python", "train.py", "outputs=/outputs"]

FROM runtime AS gpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=gpu-packages /opt/venv /opt/venv
COPY . .
USER 1000

FROM runtime AS chat
COPY --from=chat-packages /opt/venv /opt/venv
COPY . .
USER 1000

FROM runtime AS cpu
COPY --from=packages /opt/venv /opt/venv
COPY . .
USER 1000
