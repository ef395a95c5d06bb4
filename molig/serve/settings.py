"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from molig.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ServeSettings:
    """Models, limits and the token of a server.

    Parameters
    ----------
    models : tuple of str
        Models that are offered, by what ``-m`` would name; none means all bundled ones. Files of Chemprop, if
        all are such, are one model together.
    host : str
        Address that the server is bound to.
    port : int
        Its port; 0 takes a free one.
    token : str, optional
        What every request has to know.
    max_upload : int
        Bytes of a file.
    max_rows : int
        Rows of a library.
    time_limit : float
        Seconds that an answer about one molecule may take.
    job_limit : float
        Seconds that a job may take.
    jobs : int, optional
        Processes that a job works in; None for one a core.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    max_waiting : int
        Jobs that wait behind the one that runs.
    max_kept : int
        Finished jobs that are kept with their files.

    Raises
    ------
    UsageError
        If a limit is not above 0, or another host than loopback is bound without a token.

    Examples
    --------
    >>> ServeSettings().is_local, ServeSettings(host="0.0.0.0", token="secret").is_local
    (True, False)
    """

    models: tuple[str, ...] = ()
    host: str = LOOPBACK
    port: int = 8642
    token: str | None = field(default=None, repr=False)
    max_upload: int = 100_000_000
    max_rows: int = 1_000_000
    time_limit: float = 60.0
    job_limit: float = 3600.0
    jobs: int | None = None
    device: str = "auto"
    max_waiting: int = 10
    max_kept: int = 20

    def __post_init__(self) -> None:
        limits = ("max_upload", "max_rows", "time_limit", "job_limit", "max_waiting", "max_kept")
        for name in limits:
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} must be above 0 (got {getattr(self, name)})")
        if not self.is_local and not self.token:
            raise UsageError(f"{self.host} can be reached from other machines, so a token is needed")

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach the server."""
        return self.is_loopback(self.host)

    @staticmethod
    def is_loopback(host: str) -> bool:
        """Whether a name or an address is that of this machine to itself."""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
