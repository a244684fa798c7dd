# The console, the gateway and the Triton runtime in one image: what `make run` makes, without root and ready to start.
FROM python:3.11-slim-bookworm

RUN useradd --create-home --uid 1000 console
WORKDIR /srv/console
COPY requirements/ requirements/
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir -r requirements/console.txt
RUN python -m venv /opt/runtimes/triton \
    && /opt/runtimes/triton/bin/pip install --no-cache-dir -r requirements/runtime-triton.txt
COPY manage.py ./
COPY console/ console/
COPY datasets/ datasets/
COPY services/ services/
COPY templates/ templates/
RUN python -P services/frameworks/triton/runtime.py /opt/runtimes/triton \
    && mkdir /var/lib/console && chown console: /var/lib/console

USER console
ENV CONSOLE_HOME=/var/lib/console CONSOLE_RUNTIMES=/opt/runtimes CONSOLE_BIND=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /var/lib/console
EXPOSE 8000 8080
CMD [".venv/bin/python", "manage.py", "run"]
