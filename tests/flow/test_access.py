"""Keys, tenants, TLS and the audit trail of a real daemon: made by commands, asked about over sockets."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from daemon.access_client import AccessClient
from proto.errors import Malformed
from stores.audit import verify_audit
from stores.codec import unpack_id
from stores.env import Environment, Txn
from tests.daemon.web.test_tls import Files, serial_of
from tests.flow.processes import COMMAND, ROOT, Daemon, run_cli, wait_for


def plain(**settings: str) -> dict[str, str]:
    """An environment in which no platform is called."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}
    return clean | {f"POKEDEXD_{name}": value for name, value in settings.items()}


class Commands:
    def __init__(self, data: Path, env: dict[str, str]) -> None:
        self._data, self._env = data, env

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = run_cli(*arguments, "--data-dir", str(self._data), env=self._env)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.strip()}"}


def test_a_daemon_beyond_loopback_with_keys_tenants_and_a_renewed_certificate(tmp_path: Path) -> None:
    data, files = tmp_path / "data", Files(tmp_path)
    first = files.renew()
    env = plain(
        HTTP__HOST="0.0.0.0",
        HTTP__TLS_CERT_FILE=str(files.cert),
        HTTP__TLS_KEY_FILE=str(files.key),
        LOG__LEVEL="warning",
    )
    run = Commands(data, env)
    refused = subprocess.run(
        [*COMMAND, "serve", "--data-dir", str(data), "--port", "0"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "make one with `pokedexd keys create`" in refused.stderr
    operator = run("keys", "create", "--name", "operator")
    with Daemon(data, env) as daemon:
        assert daemon.url.startswith("https://0.0.0.0:")
        assert daemon.said == f"pokedexd serves {data} on {daemon.url}\n"
        port = int(daemon.url.rpartition(":")[2])
        with httpx2.Client(
            base_url=f"https://127.0.0.1:{port}", verify=files.trust, trust_env=False, timeout=30
        ) as http:
            client = AccessClient(data / "admin.sock")
            ask(http, run, client, operator)
            before = trio.run(serial_of, port, files.trust)
            assert before == first
            second = files.renew()
            assert http.get("/healthz").status_code == 200
            run("ctl", "reload")
            assert trio.run(serial_of, port, files.trust) == second != first
            files.key.write_text("nonsense")
            with pytest.raises(Malformed, match="cannot be used"):
                client.reload()
            assert trio.run(serial_of, port, files.trust) == second
            assert http.get("/healthz").status_code == 200
            files.renew()
            daemon.process.send_signal(1)  # SIGHUP
            wait_for(lambda: trio.run(serial_of, port, files.trust) != second, "the third certificate")
        assert (client.verify_audit().broken, client.verify_audit().records >= 9) == (None, True)
        assert daemon.terminate() == 0
    check_the_trail(data, run)


def ask(http: httpx2.Client, run: Commands, client: AccessClient, operator: str) -> None:
    """Whatever needs no command of its own goes over the admin socket: a command takes a second to start."""
    assert http.get("/v1/lists").status_code == 401
    assert http.get("/v1/lists", headers=bearer(operator)).status_code == 200
    client.create_tenant("acme", "Acme")
    acme: dict[str, Any] = json.loads(
        run("ctl", "keys", "create", "--tenant=acme", "--scopes=lists", "--per-minute=4", "--expires=52w", "--json")
    )
    made = http.post("/v1/lists", json={"name": "Spring"}, headers=bearer(acme["key"]))
    assert made.status_code == 201
    assert http.get("/v1/lists", headers=bearer(operator)).json() == {"lists": []}
    assert http.get("/v1/search", headers=bearer(acme["key"])).status_code == 403
    assert [one["name"] for one in http.get("/v1/lists", headers=bearer(acme["key"])).json()["lists"]] == ["Spring"]
    assert http.get("/v1/session", headers=bearer(acme["key"])).json()["tenant_id"] == "acme"
    limited = http.get("/v1/lists", headers=bearer(acme["key"]))
    assert (limited.status_code, 1 <= int(limited.headers["retry-after"]) <= 15) == (429, True)
    assert [(one.tenant_id, bool(one.last_used_at)) for one in client.keys("")] == [("default", True), ("acme", True)]
    logged_in = http.post("/v1/session", json={"key": operator.strip()})
    assert "Secure" in logged_in.headers["set-cookie"]
    assert http.get("/v1/lists").status_code == 200
    http.cookies.clear()
    run("ctl", "keys", "revoke", acme["of"]["key_id"])
    assert http.get("/v1/lists", headers=bearer(acme["key"])).status_code == 401
    assert client.remove_tenant("acme") == 2
    assert any("Spring" in one.detail for one in client.audit(100, "acme"))


def check_the_trail(data: Path, run: Commands) -> None:
    """Without a daemon, too; what somebody changes in the store is named."""
    env = Environment(data, map_size_bytes=1 << 30)

    def harm(txn: Txn) -> int:
        key, value = next(pair for pair in txn.scan("audit") if b"Spring" in pair[1])
        txn.put("audit", key, value.replace(b"Spring", b"Autumn"))
        return unpack_id(key)

    with env.snapshot() as txn:
        assert verify_audit(txn).broken is None
    number = env.write_now(harm)
    env.close()
    assert f"broken at record {number}: its detail was changed" in run("audit", "verify", code=1)
