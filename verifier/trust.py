"""
Read the auditor's own policy, which is the root of all trust and so never read from what is verified.
"""

from __future__ import annotations

from pathlib import Path

from ledger import given_file
from ledger.errors import LedgerError
from ledger.evidence import policy
from verifier.stored import Unreadable


def read_policy(path: Path) -> policy.Policy:
    """
    Return the policy in a file.

    Raises:
        Unreadable: there is none, so nothing can be trusted.
    """
    try:
        return policy.decode(given_file.read(path, policy.POLICY_LIMIT_BYTES))
    except OSError as error:
        raise Unreadable(
            f"the policy {path} cannot be read: {error.strerror}; name your own, nothing is trusted without it"
        ) from error
    except LedgerError as error:
        raise Unreadable(f"{path}: {error}; nothing is trusted without a policy") from error
