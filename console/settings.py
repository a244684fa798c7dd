"""One settings file. Every value comes from the environment with a default that runs a checkout as it is."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import unquote

from celery.schedules import schedule

from console import env
from console.env import addresses
from console.files import made_once
from console.home import CHECKOUT, from_environment
from datasets.errors import SourceError
from datasets.sources.net import allowlist

HOME = from_environment()

CONSOLE_BIND = addresses.address("CONSOLE_BIND", "127.0.0.1")
CONSOLE_PORT = env.port("CONSOLE_PORT", 8000)
GATEWAY_PORT = env.port("GATEWAY_PORT", 8080)
if CONSOLE_PORT == GATEWAY_PORT:
    raise env.BadSetting(f"CONSOLE_PORT and GATEWAY_PORT are both {CONSOLE_PORT}.", hint="Choose another for one.")
# Whose X-Forwarded-For counts, at the console and at the gateway, and whose X-Forwarded-Proto at the console.
TRUSTED_PROXIES = addresses.networks("TRUSTED_PROXIES")
REPLICA_SANDBOX = env.choice("REPLICA_SANDBOX", "auto", "require", "off")
"""Whether replicas are put in boxes: where the machine can (auto), always or not at all (require), never (off)."""
NODE_NAME = env.label("NODE_NAME", "local")
# Callers may name a service by host, as <service>.<domain>. *.localhost is this machine, for browsers and curl.
GATEWAY_DOMAIN = addresses.domain("GATEWAY_DOMAIN", "localhost")
GATEWAY_WORKERS = env.bounded("GATEWAY_WORKERS", 0, 0, 256)
"""Threads of the gateway; 0: it says itself (services/gateway/binary.py)."""
MAX_PAYLOAD_BYTES = env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024) << 20
STREAM_MAX_SECONDS = env.bounded("STREAM_MAX_SECONDS", 3600, 60, 86400)
"""A stream's longest life at the gateway: how long a stream outlives its key at most."""
# PEM files; they may be replaced while the gateway runs (services/gateway/envoy/tls.py).
GATEWAY_TLS_CERTIFICATE = env.text("GATEWAY_TLS_CERT")
GATEWAY_TLS_KEY = env.text("GATEWAY_TLS_KEY")
GATEWAY_TLS_CLIENT_CA = env.text("GATEWAY_TLS_CLIENT_CA")
REPLICA_DRAIN_SECONDS = env.bounded("REPLICA_DRAIN_SECONDS", 30, 3, 3600)
REPLICA_RETRY_SECONDS = env.bounded("REPLICA_RETRY_SECONDS", 10, 1, 3600)
TEAM_BOUNDS = {
    "services": env.bounded("TEAM_SERVICES", 200, 0, 10**6),
    "datasets": env.bounded("TEAM_DATASETS", 200, 0, 10**6),
    "keys": env.bounded("TEAM_KEYS", 1000, 0, 10**6),
    "preheats": env.bounded("TEAM_PREHEATS", 50, 0, 10**6),
}
"""What a team may have at most, unless it has a number of its own (console/accounts/bounds.py)."""
METERING_KEEP_DAYS = env.bounded("METERING_KEEP_DAYS", 30, 1, 3650)
"""How long usage is kept by the minute; by the hour and by the day it is kept longer (services/usage/metering.py)."""
DATASET_ROOTS = env.directories("DATASET_ROOTS")
"""Directories that `local` and `nfs` datasets may point into, besides the sample dataset. Set by an administrator."""
PREHEAT_SLOW_BYTES_PER_SECOND = env.bounded("PREHEAT_SLOW_KIB_PER_SECOND", 256, 0, 10**6) << 10
"""A source that gives less lets others go first while they wait. 0: none is slow."""
# 0 means no limit, for both.
PREHEAT_BYTES_PER_SECOND = env.bounded("PREHEAT_MIB_PER_SECOND", 0, 0, 10**6) << 20
STORE_QUOTA_BYTES = env.bounded("STORE_QUOTA_GIB", 0, 0, 10**6) << 30
DATASET_ENDPOINTS = env.names("DATASET_ENDPOINTS", "huggingface.co,*.huggingface.co,*.hf.co,*.amazonaws.com")
"""Servers that the other kinds may connect to."""
try:
    allowlist.require_sound(DATASET_ENDPOINTS)
except SourceError as error:
    raise env.BadSetting(error.message, hint=error.hint) from error


def _session_key() -> str:
    """SECRET_KEY, or else a key that is made on first use and kept in the home."""
    if given := env.text("SECRET_KEY"):
        return given
    try:
        return made_once(HOME.secret_key, lambda: secrets.token_urlsafe(50))
    except OSError as error:
        raise env.BadSetting(
            f"The key that signs sessions cannot be kept in {HOME.secret_key}: {error.strerror}.",
            hint="Put that right and start again, or choose another CONSOLE_HOME.",
        ) from error


SECRET_KEY = _session_key()
SECRETS_KEYS = env.fernet_keys("CONSOLE_SECRETS_KEY")
"""They encrypt the credentials of datasets: the first one new ones, and all of them decrypt. None: the home has one."""
DEBUG = env.boolean("DEBUG")
DEFAULT_EXCEPTION_REPORTER_FILTER = "console.web.debug.NoValues"
ALLOWED_HOSTS = addresses.hosts("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{CONSOLE_BIND}")
CSRF_TRUSTED_ORIGINS = addresses.origins("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "console.apps.ConsoleConfig",
    "datasets.apps.DatasetsConfig",
    "services.apps.ServicesConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "heroicons",
    "rest_framework",
]

MIDDLEWARE = [
    "console.web.proxies.Proxies",
    "django.middleware.security.SecurityMiddleware",
    "console.web.middleware.ContentPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.web.middleware.ErrorPages",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CHECKOUT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.web.context.page",
                "services.context.problems",
            ],
            "builtins": ["heroicons.templatetags.heroicons", "console.templatetags.console"],
        },
    }
]


def _database() -> dict[str, Any]:
    """DATABASE_URL as postgres://user:password@host:port/name, or SQLite in the home."""
    if url := addresses.database("DATABASE_URL"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.lstrip("/"),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname or "",
            "PORT": url.port or "",
            # On ASGI each request has a thread, and so a connection, of its own: kept ones would only pile up.
            "CONN_MAX_AGE": 0,
            # A request that waits for a row longer than that is told so (console/web/trouble.py); SQLite waits below.
            "OPTIONS": {"options": "-c lock_timeout=10s"},
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HOME.database,
        # IMMEDIATE: a transaction that will write waits its turn at its start instead of failing in the middle.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
        },
    }


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
SESSION_COOKIE_NAME = f"console_session_{CONSOLE_PORT}"  # two consoles on one host keep their own logins
CSRF_COOKIE_NAME = f"console_csrf_{CONSOLE_PORT}"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if env.boolean("CONSOLE_HTTPS"):
    if not TRUSTED_PROXIES:
        raise env.BadSetting(
            "CONSOLE_HTTPS needs TRUSTED_PROXIES: only a proxy named there may say that a request came over HTTPS.",
            hint="Name the address that the TLS proxy connects from, such as TRUSTED_PROXIES=127.0.0.1.",
        )
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # only from those: console/web/proxies.py

LANGUAGE_CODE = "en"
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [CHECKOUT / "console" / "static"]
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_PAYLOAD_BYTES * 6  # a tensor typed as JSON is larger than its bytes
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 << 20
LARGEST_REQUEST = DATA_UPLOAD_MAX_MEMORY_SIZE + (1 << 20)
"""Bytes of any request to the console: an uploaded file counts here, and not in what Django limits."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "services.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["services.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "console.web.problems.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "console.web.problems.problem_details",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Inference Console",
    "DESCRIPTION": "Everything that the form does: datasets, services, keys, queues and nodes.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
}

REDIS_URL = addresses.broker("REDIS_URL", f"redis+socket://{HOME.redis_socket}")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "max_retries": 1,  # a page that enqueues while redis is away must not hang; the sweep catches up
    "interval_start": 0,
    "interval_max": 0.2,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
# A worker of its own does what may take long: it must never keep the control loop waiting (console/stack/programs.py).
CELERY_TASK_ROUTES = {"datasets.*": {"queue": "preheat"}}
CELERY_TIMEZONE = TIME_ZONE
# The worker and beat log as LOGGING says, too.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# `expires` a little over the period: a backlog after an outage is not worked off one by one.
CELERY_BEAT_SCHEDULE = {
    "reconcile": {"task": "services.sweep", "schedule": schedule(2.0), "options": {"expires": 4}},
    "stalls": {"task": "services.watch", "schedule": schedule(3.0), "options": {"expires": 6}},
    "rounds": {"task": "datasets.sweep", "schedule": schedule(5.0), "options": {"expires": 10}},
    "mounts": {"task": "datasets.release_mounts", "schedule": schedule(60.0), "options": {"expires": 60}},
    "access-log": {"task": "services.rotate_access_log", "schedule": schedule(60.0), "options": {"expires": 60}},
    "metering": {"task": "services.count_usage", "schedule": schedule(2.0), "options": {"expires": 4}},
    "usage": {"task": "services.prune_usage", "schedule": schedule(86400.0), "options": {"expires": 86400}},
    "store": {"task": "datasets.evict_unused", "schedule": schedule(3600.0), "options": {"expires": 3600}},
    "pruning": {"task": "datasets.prune_rounds", "schedule": schedule(3600.0), "options": {"expires": 3600}},
    "settle": {"task": "datasets.settle", "schedule": schedule(60.0), "options": {"expires": 60}},
    "verify": {"task": "datasets.verify_asked", "schedule": schedule(60.0), "options": {"expires": 60}},
    "reverify": {"task": "datasets.reverify", "schedule": schedule(6 * 3600.0), "options": {"expires": 3600}},
    "node": {"task": "services.report_node", "schedule": schedule(10.0), "options": {"expires": 20}},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "console.stack.logs.lines.Lines", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.level("LOG_LEVEL", "INFO")},
}
