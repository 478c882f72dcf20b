"""
Describe every event type: its fields, an example, and the page docs/EVENTS.md.

All of it is read off the structs and rules themselves, so that the page cannot say something else than the program
does.
"""

from __future__ import annotations

import typing
from typing import Any, Final, Literal

import msgspec

from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.domain import fold, registry
from ledger.domain.events.cash import AssetAmount, Posting
from ledger.domain.events.fields import Event, Fields
from ledger.domain.schemas import hints, told
from ledger.domain.stream_names import STREAMS

_FAMILIES: Final = {
    "reference": "Reference data", "orders": "Orders", "executions": "Executions",
    "settlement": "Settlement and allocation", "cash": "Cash, conversions, fees and holds",
    "corporate_actions": "Corporate actions", "control": "Control", "operations": "Operations",
}  # fmt: skip
_KINDS: Final = {
    "command": "may be refused",
    "fact": "is recorded or quarantined, never refused",
    "control": "is the ledger's own",
}
_MADE_UP: Final[dict[str, Any]] = {
    "account": "client-7", "allocation_id": "AL-2", "amount": "125.5", "as_of": 1723147200000000000,
    "asset": "USD", "at": 1723104000000000000, "authority": "data protection office, case 12", "backup_seq": 1000,
    "base": "EUR", "base_asset": "USD", "base_hash": "9f86d081884c7d65", "base_seq": 1000,
    "bundle_hash": "2c26b46b68ffc68f",
    "ca_id": "CA-2024-17", "calendar": "nyse", "calendar_version": 1, "cause": "region-loss",
    "cl_ord_id": "c-17", "component": "publisher", "count": 2, "date": "2024-08-09", "day": "2024-08-08",
    "days": 1, "decided_by": "desk-2", "detail": "done within two minutes", "effective": "2024-08-09",
    "effective_from": "2024-08-09", "encoder_version": "1", "ended_at": 1723104060000000000, "epoch": 2,
    "event_type": "TradeExecuted", "ex_date": "2024-08-09", "exec_id": "E-981", "exec_ids": "E-981",
    "exec_ref": "E-980", "external": "101", "fee_id": "F-4", "final_hash": "9f86d081884c7d65", "final_seq": 1000,
    "floor": "0",
    "format_version": 1, "from_level": "0", "from_region": "region-b", "from_seq": 1001, "good_copy": "region-b",
    "fx_id": "FX-1", "gross": "48", "head_hash": "9f86d081884c7d65", "hold_id": "H-3", "how": "promoted region-b",
    "incident_id": "I-12", "instrument": "XYZ", "journal_id": "J-5", "key": "balance:client-7:USD:total",
    "key_id": "0123456789abcdef",
    "last_valid_seq": 1000, "label": "20240808-020000F", "ledger": "100", "lot": "1", "matched": 412,
    "memo": "correction",
    "movement_id": "M-20", "name": "US dollar", "new": "XYZ.A", "new_intended_date": "2024-08-12", "old": "XYZ",
    "old_key_id": "0123456789abcdef", "old_signature": "ab", "new_signature": "cd", "order_id": "O-17",
    "orig_cl_ord_id": "c-16", "origin": "ledger.example.com/trades", "original": '{"exec_id":"E-981"}',
    "original_type": "TradeExecuted", "owner": "fund-2", "paid_on": "2024-08-30", "pay_date": "2024-08-30",
    "payment_id": "P-1", "plan": "regional-failover", "price": "12.25", "product": "equity", "proposed_by": "desk-1",
    "public_key": "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29", "qty": "100", "quote": "USD",
    "quote_asset": "USD", "rate": "0.48", "ratio_den": 1, "ratio_num": 2, "reason": "as the venue says",
    "reason_code": "price-band", "record_date": "2024-08-09", "ref": 1041, "report_digest": "2c26b46b68ffc68f",
    "reverses": "M-20", "root": "2c26b46b68ffc68f", "scale": 2, "schema_hash": "2c26b46b68ffc68f", "seconds": 184,
    "seq": 1001, "settle_asset": "USD", "settlement_cycle": 1, "settlement_id": "S-6", "signature": "ab", "size": 1000,
    "started_at": 1723104000000000000, "state_digest": "2c26b46b68ffc68f", "statement_hash": "2c26b46b68ffc68f",
    "step": "3", "subject_key_id": "subject-88", "summary": "the primary region was lost", "through": "2024-07-31",
    "tick": "0.01", "to_level": "1", "to_seq": 1002, "trade_date": "2024-08-08", "until": 1723107600000000000,
    "value_date": "2024-08-08", "venue": "XNAS", "version": 1, "who": "operator-1", "why": "region-b is being moved",
}  # fmt: skip
"""What an example says in a required field of this name."""


def _type_text(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return str(arguments[1])
    if origin is Literal:
        return "one of " + ", ".join(arguments)
    if origin is tuple:
        return f"list of {_type_text(arguments[0])}"
    return "true or false" if hint is bool else "integer" if hint is int else str(hint.__name__)


def fields(kind: type[Fields]) -> list[dict[str, Any]]:
    """
    Return name and type of each field of an event type or a part of one, and whether it is required.
    """
    required = {field.name: field.required for field in msgspec.structs.fields(kind)}
    return [{"name": name, "type": _type_text(hint), "required": required[name]} for name, hint in hints(kind).items()]


def describe() -> list[dict[str, Any]]:
    """
    Return type, schema version, family, kind, streams and fields of every event type.
    """
    return [
        {
            "type": name, "schema_version": kind.SCHEMA_VERSION, "family": _family(kind), "kind": kind.KIND,
            "streams": list(STREAMS[name]), "fields": fields(kind),
        }
        for name, kind in registry.EVENT_TYPES.items()
    ]  # fmt: skip


def _family(kind: type[Event]) -> str:
    return kind.__module__.rpartition(".")[2]


_PARTICULAR: Final[dict[str, dict[str, Any]]] = {
    "CashDividendAccrued": {"tax_rate": "0.15"},
    "Entitled": {"tax": "7.2"},
    "DividendLine": {"tax": "7.2"},
    "MarkRecorded": {"instrument": "XYZ"},
    "InstrumentDefined": {"asset": "XYZ"},
    "InstrumentAmended": {"tick": "0.05"},
    "OrderPlaced": {"price": "12.25", "ord_type": "limit"},
    "ReplaceRequested": {"new_qty": "120"},
    "QuarantineResolved": {"accepted_seq": 1042},
    "DivergentEventDisposed": {"disposition": "resubmitted", "new_seq": 1044},
    "ReconciliationRecorded": {"origin": "custodian"},
    "BackupVerified": {"head_hash": "9f86d081884c7d65"},
    "FactQuarantined": {"original_version": 1, "rule": "overfill", "detail": "order O-17 of 100 would have filled 120"},
    "SettlementFailed": {"trade_date": "2024-08-08", "exec_id": "E-981"},
    "TradeSettled": {"trade_date": "2024-08-08", "exec_id": "E-981", "amount": "1225"},
    "FxConverted": {
        "sold": AssetAmount(asset="USD", amount="1000"),
        "rate": "0.92",
        "bought": AssetAmount(asset="EUR", amount="920"),
    },
    "FeeCharged": {"kind": "custody"},
    "JournalPosted": {
        "postings": (
            Posting(account="client-7", asset="USD", bucket="settled", amount="-125.5"),
            Posting(account="client-8", asset="USD", bucket="settled", amount="125.5"),
        )
    },
    "TradeExecuted": {"order_id": "O-17"},
    "TradeCorrected": {"order_id": "O-17"},
    "Fee": {"kind": "commission"},
}
"""What examples of some types say besides, or instead."""


def _example(kind: type[Fields]) -> Fields:
    given: dict[str, Any] = dict(_PARTICULAR.get(kind.__name__, {}))
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    for name, hint in hints(kind).items():
        if name in required and name not in given:
            given[name] = _value(name, hint)
    return kind(**given)


def _value(name: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (_value(name, arguments[0]),)
    if isinstance(hint, type) and issubclass(hint, Fields):
        return _example(hint)
    return _MADE_UP[name]


def example(kind: type[Event]) -> Event:
    """
    Return an event of this type that is well-formed; whether the rules take it depends on what came before.
    """
    made = _example(kind)
    if not isinstance(made, Event):
        raise AssertionError(f"{kind.__name__} is no event type")
    return made


def _table(kind: type[Fields]) -> list[str]:
    lines = ["| field | type | |", "|---|---|---|"]
    lines += [
        f"| {x['name']} | {x['type']} | {'' if x['required'] else 'may be left out'} |" for x in fields(kind)
    ]  # fmt: skip
    return [*lines, ""]


def _parts(kind: type[Fields]) -> dict[str, type[Fields]]:
    found: dict[str, type[Fields]] = {}
    for hint in hints(kind).values():
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
        if isinstance(inner, type) and issubclass(inner, Fields):
            found |= {inner.__name__: inner, **_parts(inner)}
    return found


def page() -> str:
    """
    Return docs/EVENTS.md.
    """
    lines = [
        "# Event types", "",
        "Made by `tradeledger event-types --format markdown`; `make check` holds this page to the program. Every event",
        "also carries what docs/FORMAT.md lists. A command may be refused, a fact is recorded or quarantined. The",
        "examples show what a caller gives, as it is stored: canonical JSON, defaults left out. A stream is what",
        "`tradeledger show history` and `Books.stream` take, and what `append` expects a version of; `<order_id>` is",
        "the field of that name, of the event or of the fact that it refers to.", "",
        f"What a caller gives of a fact has at most {fold.FACT_LIMIT_BYTES:,} bytes, so that it can be kept in",
        "quarantine whatever is wrong with it; of a command or of raw text (FactQuarantined), the payload with what",
        f"follows has at most {PAYLOAD_LIMIT_BYTES:,}. A fact of which more follows is quarantined as `too_large`.", "",
    ]  # fmt: skip
    parts: dict[str, type[Fields]] = {}
    family = ""
    for name, kind in registry.EVENT_TYPES.items():
        if _family(kind) != family:
            family = _family(kind)
            lines += [f"## {_FAMILIES[family]}", ""]
        parts |= _parts(kind)
        lines += [f"### {name}", "", told(kind), ""]
        lines += [
            f"Version {kind.SCHEMA_VERSION}; a {kind.KIND}: it {_KINDS[kind.KIND]}. Its rule: {told(fold.RULES[kind])}"
        ]
        lines += ["", f"Stream: {', or where there is none '.join(f'`{x}`' for x in STREAMS[name])}."]
        lines += ["", *_table(kind), "```json", registry.encode_given(example(kind)).decode(), "```", ""]
    lines += ["## Parts", ""]
    for name, part in sorted(parts.items()):
        lines += [f"### {name}", "", told(part), "", *_table(part)]
    return "\n".join(lines).rstrip() + "\n"
