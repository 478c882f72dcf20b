"""
Check that the migrations make exactly the tables the code describes, on a fresh PostgreSQL that is gone afterwards.
"""

import sys
import tempfile
from pathlib import Path

from ledger.errors import LedgerError
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade


def main() -> None:
    """Migrate an empty database, and compare it with the metadata."""
    with tempfile.TemporaryDirectory(prefix="tl-check-") as folder:
        server = Server.start(Path(folder) / "server")
        try:
            upgrade.upgrade(server.dsn("owner"))
            upgrade.check(server.dsn("owner"))
        finally:
            server.stop()
    print("migrations equal metadata")


if __name__ == "__main__":
    try:
        main()
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
