"""Certificate files for tests of TLS."""

import dataclasses
import pathlib

import trustme

EC = trustme.KeyType.ECDSA


@dataclasses.dataclass
class Certificates:
    """An authority, and a certificate that it signed.

    Attributes:
      ca: File of the authority.
      chain: File of the certificate.
      key: File of its key.
    """

    ca: pathlib.Path
    chain: pathlib.Path
    key: pathlib.Path


def write_certificates(folder, name="127.0.0.1"):
    """Makes a new authority and a certificate for a host; replaces such files in the folder."""
    authority = trustme.CA(key_type=EC)
    issued = authority.issue_cert(name, key_type=EC)
    files = Certificates(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    _replace(files.ca, authority.cert_pem.bytes())
    _replace(files.chain, chain)
    _replace(files.key, issued.private_key_pem.bytes())
    return files


def _replace(path, content):
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
