"""Where notices go beyond the home: Apprise URLs, and the short names by which all but the sender know them.

An Apprise URL holds secrets (a password, a chat's token, sometimes in the place of the host), so it is never shown.
Reading one asks nobody: the network is used when a notice is sent.
"""

import hashlib
import hmac
import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from apprise import NotifyBase

EXAMPLE = "jsons://HOST/PATH"

_COMMAS = re.compile(r",+(?=\w+://)")
_HOST = re.compile(r"localhost|[\w-]+(\.[\w-]+)+|[0-9a-f:]+:[0-9a-f:]*")


def read_targets(text: str) -> tuple[str, ...]:
    """The URLs of a text, with commas or blanks between them, each once.

    ValueError says what to set, and which URL Apprise cannot read, without any part of it.
    """
    found = (url.strip(",") for part in text.split() for url in _COMMAS.split(part))
    urls = tuple(dict.fromkeys(url for url in found if url))
    if not urls:
        raise ValueError(f"Set Apprise URLs such as {EXAMPLE}, with commas or blanks between them.")
    for number, url in enumerate(urls, start=1):
        if "://" not in url or service_of(url) is None:
            raise ValueError(f"Set Apprise URLs such as {EXAMPLE}; URL {number} of {len(urls)} is none.")
    return urls


def service_of(url: str) -> "NotifyBase | None":
    """Apprise's own object for an URL, new each time; None for one that it cannot read."""
    from apprise import Apprise, AppriseAsset

    _silence_apprise()
    # A redirect would turn a POST into a GET that is answered and says nothing; keys are never made on the quiet.
    asset = AppriseAsset(
        app_id="Orchestrate", http_redirects=False, async_mode=False, pgp_autogen=False, pem_autogen=False
    )
    return Apprise.instantiate(url, asset=asset)


@lru_cache(maxsize=256)
def target_name(url: str, secret: bytes) -> str:
    """The name of a target in the ledger, in `status` and in logs, such as `jsons://example.org#1f0c93a2`.

    Scheme, host and port where the service has a host, and a keyed digest of the whole URL, from which nobody can
    guess it.
    """
    service = service_of(url)
    digest = hmac.new(secret, url.encode(), hashlib.sha256).hexdigest()[:8]
    if service is None:
        return f"unknown#{digest}"
    place = _place(url) if "host" in service.template_tokens else None
    return f"{service.schema}://{place}#{digest}" if place else f"{service.schema}#{digest}"


def _place(url: str) -> str | None:
    """Host and port; None where what stands in their place may be a token."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not _HOST.fullmatch(host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _silence_apprise() -> None:
    """What Apprise logs may hold an URL or a message: it stays in the result of the sending."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
