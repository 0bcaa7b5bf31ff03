"""How gunicorn serves Vase; `gunicorn app:app` reads this file from the folder it is started in."""

from __future__ import annotations

import sys
from pathlib import Path

from webapp.config import load_settings
from webapp.errors import SettingError

try:
    settings = load_settings(Path(__file__).resolve().parent, {})
except SettingError as error:
    sys.exit(f"vase: {error}")

host = settings["HOST"]
bind = f"[{host}]:{settings['PORT']}" if ":" in host else f"{host}:{settings['PORT']}"

# Clients that are slow to send a request, to read an answer or to hang up hold no thread.
worker_class = "webapp.gunicorn_worker.BufferingWorker"
workers = settings["WEB_WORKERS"]
threads = settings["WEB_THREADS"]
worker_connections = 1000

# The app is imported once, before the worker processes are forked: half the start-up work and less memory. It opens
# no connection while it is imported, so the processes share none.
preload_app = True

# A page polls every few seconds; longer than that, so that it need not connect again each time. Waiting connections
# hold no thread.
keepalive = 15

# Whoever may connect could otherwise say in a header under which path the site stands, and so where its links lead.
forwarder_headers = ""

# The worker processes tell the main one that they live, however long a request takes. One that stays silent hangs.
timeout = 30
# Shorter than bin/keep waits, so that a slow client cannot turn a clean stop into a kill.
graceful_timeout = 3

# A dashboard that polls would fill the log with itself. gunicorn's --access-logfile switches it on.
accesslog = None

# It would lie in the home folder of whoever starts the server, outside the project, and nothing here uses it.
control_socket_disable = True

# Where the processes say that they live. In memory, so that a slow disk cannot make them look dead.
memory = Path("/dev/shm")  # noqa: S108  (gunicorn makes an unnamed file there)
worker_tmp_dir = str(memory) if memory.is_dir() else None
