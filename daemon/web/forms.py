"""What a page's form sends."""

from __future__ import annotations

import hmac

from quart import abort, request
from werkzeug.datastructures import MultiDict

from daemon.web.guard import host_name
from daemon.web.params import whole_number
from daemon.web.viewer import Viewer

OWN = ("same-origin", "none")


async def posted(who: Viewer) -> MultiDict[str, str]:
    """The fields. Answers 403 where the form is not of a page of this viewer.

    That the Origin is an allowed host is checked before; here browsers say whether it was this very port too, since
    others that serve pages on the same machine are not this daemon.
    """
    form = await own_form()
    if not hmac.compare_digest(form.get("csrf_token", "").encode(), who.csrf_token.encode()):
        abort(403, "the form is older than this session; load its page again")
    return form


async def own_form() -> MultiDict[str, str]:
    """The fields of a form before anybody is known. Answers 403 to one of another site or port."""
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN or _of_another_port():
        abort(403, "forms of other sites are refused")
    return await request.form


def _of_another_port() -> bool:
    """What `Sec-Fetch-Site` does not tell where pages come by http from elsewhere than loopback. A proxy may give the
    request another Host altogether, which is no other port."""
    origin, host = request.headers.get("Origin", "").partition("://")[2], request.headers.get("Host", "")
    told = "Sec-Fetch-Site" in request.headers
    return not told and origin not in ("", host) and host_name(origin) == host_name(host)


def shown_version(form: MultiDict[str, str]) -> int | None:
    """Of what the form was made of, so that nobody's change is lost; None where it says none. Raises BadParameter."""
    return whole_number(form, "version", 0, 0, 1 << 62) if form.get("version") else None


def inside(path: str, default: str = "/") -> str:
    """A path of this host; anything else would lead a reader away."""
    own = path.startswith("/") and not path.startswith("//") and path.isprintable() and path.isascii()
    return path if own and "\\" not in path else default
