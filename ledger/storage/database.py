"""
Open connections to a PostgreSQL that keeps what it commits, and say what went wrong in the ledger's own errors.
"""

from __future__ import annotations

import logging
