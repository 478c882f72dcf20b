-- Everything that a verifier of docs/FORMAT.md needs, as lines of JSON, in one snapshot:
--   psql -XAtq -v ON_ERROR_STOP=1 -f examples/export.sql ADDRESS > export.jsonl
-- A database with several chains gives them all; `chain` tells them apart.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL bytea_output = 'hex';
SELECT json_build_object('table', 'chains', 'row', row_to_json(t)) FROM ledger.chains t ORDER BY chain;
SELECT json_build_object('table', 'chain_heads', 'row', row_to_json(t)) FROM ledger.chain_heads t ORDER BY chain;
-- The payload goes as text: as a member of the line it would be the same bytes, and no JSON reader hands them out.
SELECT json_build_object('table', 'events', 'row', row_to_json(t)) FROM (
    SELECT chain, seq, epoch, prev_hash, hash, event_id, event_type, schema_version, stream, stream_version, group_id,
           group_index, group_size, idempotency_key, request_hash, occurred_at, recorded_at, effective_on, actor, source,
           correlation_id, causation_id, salt, payload::text AS payload_text
    FROM ledger.events) t ORDER BY chain, seq;
SELECT json_build_object('table', 'idempotency_keys', 'row', row_to_json(t)) FROM ledger.idempotency_keys t;
SELECT json_build_object('table', 'commits', 'row', row_to_json(t)) FROM ledger.commits t ORDER BY chain, last_seq;
SELECT json_build_object('table', 'state_digests', 'row', row_to_json(t)) FROM ledger.state_digests t;
SELECT json_build_object('table', 'acknowledgements', 'row', row_to_json(t)) FROM ledger.acknowledgements t;
-- The read models.
SELECT json_build_object('table', 'assets', 'row', row_to_json(t)) FROM ledger.assets t;
SELECT json_build_object('table', 'instruments', 'row', row_to_json(t)) FROM ledger.instruments t;
SELECT json_build_object('table', 'calendars', 'row', row_to_json(t)) FROM ledger.calendars t;
SELECT json_build_object('table', 'accounts', 'row', row_to_json(t)) FROM ledger.accounts t;
SELECT json_build_object('table', 'account_limits', 'row', row_to_json(t)) FROM ledger.account_limits t;
SELECT json_build_object('table', 'orders', 'row', row_to_json(t)) FROM ledger.orders t;
SELECT json_build_object('table', 'client_order_ids', 'row', row_to_json(t)) FROM ledger.client_order_ids t;
SELECT json_build_object('table', 'executions', 'row', row_to_json(t)) FROM ledger.executions t;
SELECT json_build_object('table', 'balances', 'row', row_to_json(t)) FROM ledger.balances t;
SELECT json_build_object('table', 'positions', 'row', row_to_json(t)) FROM ledger.positions t;
SELECT json_build_object('table', 'lots', 'row', row_to_json(t)) FROM ledger.lots t;
SELECT json_build_object('table', 'lot_queues', 'row', row_to_json(t)) FROM ledger.lot_queues t;
SELECT json_build_object('table', 'corporate_actions', 'row', row_to_json(t)) FROM ledger.corporate_actions t;
SELECT json_build_object('table', 'entitlements', 'row', row_to_json(t)) FROM ledger.entitlements t;
SELECT json_build_object('table', 'marks', 'row', row_to_json(t)) FROM ledger.marks t;
SELECT json_build_object('table', 'closed_periods', 'row', row_to_json(t)) FROM ledger.closed_periods t;
SELECT json_build_object('table', 'holds', 'row', row_to_json(t)) FROM ledger.holds t;
SELECT json_build_object('table', 'movements', 'row', row_to_json(t)) FROM ledger.movements t;
SELECT json_build_object('table', 'quarantine', 'row', row_to_json(t)) FROM ledger.quarantine t;
SELECT json_build_object('table', 'breaks', 'row', row_to_json(t)) FROM ledger.breaks t;
SELECT json_build_object('table', 'settlement_fails', 'row', row_to_json(t)) FROM ledger.settlement_fails t;
SELECT json_build_object('table', 'allocations', 'row', row_to_json(t)) FROM ledger.allocations t;
SELECT json_build_object('table', 'controls', 'row', row_to_json(t)) FROM ledger.controls t;
SELECT json_build_object('table', 'streams', 'row', row_to_json(t)) FROM ledger.streams t;
SELECT json_build_object('table', 'chain_keys', 'row', row_to_json(t)) FROM ledger.chain_keys t;
SELECT json_build_object('table', 'incidents', 'row', row_to_json(t)) FROM ledger.incidents t;
SELECT json_build_object('table', 'divergent_tails', 'row', row_to_json(t)) FROM ledger.divergent_tails t;
SELECT json_build_object('table', 'divergent_events', 'row', row_to_json(t)) FROM ledger.divergent_events t;
SELECT json_build_object('table', 'schemas', 'row', row_to_json(t)) FROM ledger.schemas t;
COMMIT;
