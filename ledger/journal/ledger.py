"""
Open a chain and append to it: the API of a trading engine.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain.events.fields import Event
from ledger.errors import (
    Closed,
    InvalidEvent,
    InvalidInput,
    LedgerError,
    NotPermitted,
    NotPrimary,
    OutcomeUnknown,
    Unavailable,
    shown,
