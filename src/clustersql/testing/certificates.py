"""A throw-away certificate authority and a server certificate for 127.0.0.1, made by the ``openssl`` program."""

from __future__ import annotations

import shutil
from pathlib import Path

from .processes import Account, StartError, run

__all__ = ["make_certificates"]

_SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"


def make_certificates(folder: Path, owner: Account) -> None:
    """Write ``ca.pem``, ``server.pem`` and ``server.key`` into the new ``folder``, valid for two days.

    The certificate names 127.0.0.1 and localhost, so clients can verify the name too.
    Raises `StartError` when the ``openssl`` program is missing.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise StartError("tls=True needs the openssl program (Debian: apt-get install openssl)")
    folder.mkdir()
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "server.ext"
    extensions.write_text(_SERVER)
    us = Account()
    authority = ["-x509", "-days", "2", "-subj", "/CN=clustersql test authority"]
    run([openssl, "req", *authority, *new_key, "-keyout", ca_key, "-out", ca], us)
    run([openssl, "req", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request], us)
    signing = ["-days", "2", "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions]
    run([openssl, "x509", "-req", "-in", request, *signing, "-out", certificate], us)
    ca_key.unlink()
    for path, mode in ((folder, 0o755), (ca, 0o644), (certificate, 0o644), (key, 0o600)):
        path.chmod(mode)  # the servers refuse a key that others can read
        owner.own(path)
