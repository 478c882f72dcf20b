-- Break each invariant of docs/INVARIANTS.md, and see which wall stops it.
--
-- Every block stands by itself. One headed `writer` is for a login of the writer's role, in a transaction of its own; its
-- header names the SQLSTATE and the constraint or trigger that refuses it, or says `taken`: no wall stands there, and only
-- the verifier sees it. One headed `intruder` is for a superuser on a copy of the database, and takes the walls down first;
-- `tradeledger-verify full` then names what was done, by the class in the header (and the wall, as GUARD_CHANGED). SQL has no
-- BLAKE3, so an event that is edited here keeps its old hash; tests/invariants/test_rehashed.py redoes the hashes as well.
-- Do this to a ledger that nobody needs, of the firm that docs/INVARIANTS.md says how to make. Where a statement finds no
-- row (`UPDATE 0`), nothing was tried. tests/invariants runs every block.

-- I1 writer TL003 check_appended
-- An event that names another hash than the last one's, under a head that has moved over it.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1 WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'recorded_at', e.recorded_at + 1,
                                                    'stream_version', e.stream_version + 1))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I1 writer 23505 events_pkey
-- A second event in one place.
INSERT INTO ledger.events SELECT e.* FROM ledger.events e WHERE e.chain = 1 AND e.seq = 2;

-- I1 intruder SEQ_GAP
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
DELETE FROM ledger.events WHERE chain = 1 AND seq = 5;

-- I1 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET prev_hash = hash WHERE chain = 1 AND seq = 5;

-- I2 writer TL003 check_head
-- A head that hides the last event.
UPDATE ledger.chain_heads SET seq = seq - 1 WHERE chain = 1;

-- I2 intruder TRUNCATED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
DELETE FROM ledger.events WHERE chain = 1 AND seq = (SELECT max(seq) FROM ledger.events WHERE chain = 1);

-- I2 intruder HEAD_MISMATCH
ALTER TABLE ledger.chain_heads DISABLE TRIGGER ALL;
UPDATE ledger.chain_heads SET recorded_at = recorded_at - 1 WHERE chain = 1;

-- I3 writer TL003 check_appended
-- A linked event that is no later than the one before.
UPDATE ledger.chain_heads SET seq = seq + 1, hash = decode(repeat('ab', 32), 'hex') WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'stream_version', e.stream_version + 1))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I3 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET recorded_at = (SELECT recorded_at FROM ledger.events WHERE chain = 1 AND seq = 4)
WHERE chain = 1 AND seq = 5;

-- I4 writer TL003 check_appended
-- An event that leaves a version of its stream out.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'recorded_at', e.recorded_at + 1, 'stream_version', e.stream_version + 2))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I4 writer 23505 events_stream_version
-- A version of a stream twice.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'recorded_at', e.recorded_at + 1))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I4 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET stream_version = stream_version + 100 WHERE chain = 1 AND seq = 5;

-- I4 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.streams DISABLE TRIGGER ALL;
UPDATE ledger.streams SET version = version + 1 WHERE chain = 1;

-- I5 writer 23505 idempotency_keys_pkey
-- A key again, for another group.
INSERT INTO ledger.idempotency_keys
SELECT k.chain, k.source, k.key, (SELECT max(first_seq) FROM ledger.idempotency_keys WHERE chain = 1)
FROM ledger.idempotency_keys k WHERE k.chain = 1 ORDER BY k.first_seq LIMIT 1;

-- I5 writer TL003 check_keys
-- A key of a group that is not there.
INSERT INTO ledger.idempotency_keys SELECT 1, k.source, 'made-up', 2 FROM ledger.idempotency_keys k LIMIT 1;

-- I5 intruder KEY_MISMATCH
ALTER TABLE ledger.idempotency_keys DISABLE TRIGGER ALL;
UPDATE ledger.idempotency_keys SET key = key || 'x' WHERE chain = 1 AND first_seq = 5;

-- I5 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET request_hash = hash WHERE chain = 1 AND seq = 5;

-- I6 writer 23505 executions_pkey
-- An execution id a second time on one venue and trade date.
INSERT INTO ledger.executions SELECT x.* FROM ledger.executions x WHERE x.chain = 1 LIMIT 1;

-- I6 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.executions DROP CONSTRAINT executions_ref_fkey, DROP CONSTRAINT executions_pkey;
ALTER TABLE ledger.executions DISABLE TRIGGER ALL;
INSERT INTO ledger.executions SELECT x.* FROM ledger.executions x WHERE x.chain = 1 LIMIT 1;

-- I7 writer TL006 check_balanced
-- Money from one account to another beside no event, under a head that was written again.
UPDATE ledger.chain_heads SET seq = seq WHERE chain = 1;
UPDATE ledger.balances SET settled = settled + CASE account WHEN 'client-1' THEN 1 ELSE -1 END
WHERE chain = 1 AND account IN ('client-1', '~external') AND asset = 'USD';

-- I7 writer TL006 check_balanced
-- Money out of nothing, beside no event.
UPDATE ledger.balances SET settled = settled + 1 WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I7 writer TL006 check_head
-- Money out of nothing, beside an event: refused as the transaction ends.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'recorded_at', e.recorded_at + 1, 'stream_version', e.stream_version + 1))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;
UPDATE ledger.balances SET settled = settled + 1 WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I7 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET payload = regexp_replace(payload::text, '"settled","', '"settled","9')::json
WHERE chain = 1 AND seq = (SELECT min(seq) FROM ledger.events WHERE payload::text LIKE '%postings%');

-- I8 writer TL006 check_balanced
-- The same wall: what a transaction does to balances sums to zero, so the whole does.
UPDATE ledger.balances SET unsettled = unsettled - 5 WHERE chain = 1 AND account = '~external' AND asset = 'USD';

-- I8 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.balances DISABLE TRIGGER ALL;
UPDATE ledger.balances SET settled = settled + 1 WHERE chain = 1 AND account = '~external' AND asset = 'USD';

-- I9 writer 23514 balances_breach_flagged
-- Spent below the floor, and not flagged.
UPDATE ledger.balances SET settled = floor - unsettled - 1 WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I9 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.balances DISABLE TRIGGER ALL, DROP CONSTRAINT balances_breach_flagged;
UPDATE ledger.balances SET breached = NOT breached WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I10 writer 23514 orders_cum_qty_in_range
-- More filled than was ordered.
UPDATE ledger.orders SET cum_qty = qty + 1 WHERE chain = 1 AND cum_qty > 0;

-- I10 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.orders DISABLE TRIGGER ALL, DROP CONSTRAINT orders_cum_qty_in_range;
UPDATE ledger.orders SET cum_qty = qty + 1 WHERE chain = 1 AND cum_qty > 0;

-- I11 writer taken
-- A status is derived from the facts beside it by a table of precedence: too much for a constraint.
UPDATE ledger.orders SET status = 'FILLED' WHERE chain = 1 AND status = 'CANCELED';

-- I11 intruder PROJECTION_MISMATCH
UPDATE ledger.orders SET status = 'FILLED' WHERE chain = 1 AND status = 'CANCELED';

-- I12 writer 23505 executions_ref
-- A second correction of one execution.
INSERT INTO ledger.executions
SELECT (jsonb_populate_record(x, '{"exec_id": "again"}')).*
FROM ledger.executions x WHERE x.chain = 1 AND x.ref_exec_id IS NOT NULL LIMIT 1;

-- I12 writer 23503 executions_ref_fkey
-- A correction of an execution that is not there.
INSERT INTO ledger.executions
SELECT (jsonb_populate_record(x, '{"exec_id": "again", "ref_exec_id": "nothing"}')).*
FROM ledger.executions x WHERE x.chain = 1 AND x.ref_exec_id IS NOT NULL LIMIT 1;

-- I12 writer taken
-- A correction of a bust, after which nothing follows: what kind of row it names, its own columns do not say.
INSERT INTO ledger.executions
SELECT (jsonb_populate_record(x, jsonb_build_object('exec_id', 'again', 'kind', 'correct', 'live', true,
                                                    'ref_trade_date', x.trade_date, 'ref_exec_id', x.exec_id))).*
FROM ledger.executions x WHERE x.chain = 1 AND x.kind = 'bust' LIMIT 1;

-- I12 intruder PROJECTION_MISMATCH
INSERT INTO ledger.executions
SELECT (jsonb_populate_record(x, jsonb_build_object('exec_id', 'again', 'kind', 'correct', 'live', true,
                                                    'ref_trade_date', x.trade_date, 'ref_exec_id', x.exec_id))).*
FROM ledger.executions x WHERE x.chain = 1 AND x.kind = 'bust' LIMIT 1;

-- I12 writer taken
-- A trade that was corrected counts as the newest version again, beside its correction.
UPDATE ledger.executions SET live = true WHERE chain = 1 AND kind = 'trade' AND NOT live;

-- I12 intruder PROJECTION_MISMATCH
UPDATE ledger.executions SET live = true WHERE chain = 1 AND kind = 'trade' AND NOT live;

-- I12 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.executions DISABLE TRIGGER ALL;
UPDATE ledger.executions SET live = NOT live WHERE chain = 1 AND ref_exec_id IS NOT NULL;

-- I13 writer 23514 executions_settled_qty_in_range
-- More settled than was traded.
UPDATE ledger.executions SET settled_qty = qty + 1 WHERE chain = 1 AND settled_qty = qty;

-- I13 writer 23514 executions_settled_gross_in_step
-- All of the quantity settled, and not all of the cash.
UPDATE ledger.executions SET settled_gross = gross - 1 WHERE chain = 1 AND settled_qty = qty;

-- I13 writer taken
-- Shares of more than was allocated: shares and executions are rows of their own, and each is in range.
UPDATE ledger.executions SET qty = qty + 1 WHERE chain = 1 AND kind = 'allocation' AND settled_qty = 0;

-- I13 intruder PROJECTION_MISMATCH
UPDATE ledger.executions SET qty = qty + 1 WHERE chain = 1 AND kind = 'allocation' AND settled_qty = 0;

-- I13 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.executions DISABLE TRIGGER ALL;
UPDATE ledger.executions SET settled_qty = 0, settled_gross = 0
WHERE chain = 1 AND kind = 'allocation' AND settled_qty > 0;

-- I14 writer taken
-- What day a calendar gives is a computation over other tables, as they were then: no constraint sees them.
UPDATE ledger.executions SET settle_date = settle_date + 1 WHERE chain = 1 AND settled_qty = 0;

-- I14 intruder PROJECTION_MISMATCH
UPDATE ledger.executions SET settle_date = settle_date + 1 WHERE chain = 1 AND settled_qty = 0;

-- I15 writer 23514 positions_flat_costs_nothing
-- A flat position that still costs something.
UPDATE ledger.positions SET qty = 0 WHERE chain = 1 AND qty <> 0 AND cost <> 0;

-- I15 writer taken
-- A position that no trade made: it follows from all executions and corporate actions.
UPDATE ledger.positions SET qty = qty + 1 WHERE chain = 1 AND account = 'client-1' AND qty > 0;

-- I15 intruder PROJECTION_MISMATCH
UPDATE ledger.positions SET qty = qty + 1 WHERE chain = 1 AND account = 'client-1' AND qty > 0;

-- I15 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.positions DISABLE TRIGGER ALL;
UPDATE ledger.positions SET qty = qty + 1 WHERE chain = 1 AND account = 'house-1' AND qty > 0;

-- I16 writer TL005 check_appended
-- A new event that counts for a day through which the books are closed.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'recorded_at', e.recorded_at + 1, 'stream_version', e.stream_version + 1,
    'effective_on', (SELECT max(through) FROM ledger.closed_periods WHERE chain = 1)))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I16 writer TL005 check_closed
-- A closing of an earlier day after the last one, behind which new events would count for the days between.
INSERT INTO ledger.closed_periods
SELECT chain, number + 1, '1970-01-01', event_seq, trial_balance
FROM ledger.closed_periods WHERE chain = 1 ORDER BY number DESC LIMIT 1;

-- I16 writer TL005 check_closed
-- A closing of days to come, which would shut out every event until then.
INSERT INTO ledger.closed_periods
SELECT chain, number + 1, '9999-12-31', (SELECT seq FROM ledger.chain_heads WHERE chain = 1), trial_balance
FROM ledger.closed_periods WHERE chain = 1 ORDER BY number DESC LIMIT 1;

-- I16 writer taken
-- What was of a closed day once more, as if it counted for a later one: what a payload says is not read.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', h.seq, 'prev_hash', l.hash, 'hash', h.hash, 'recorded_at',
    h.recorded_at, 'epoch', h.epoch, 'stream', 'again', 'stream_version', 1, 'effective_on', p.through + 1))).*
FROM ledger.chain_heads h JOIN ledger.events l ON l.chain = h.chain AND l.seq = h.seq - 1
    JOIN ledger.closed_periods p ON p.chain = h.chain AND p.number = 1
    JOIN ledger.events e ON e.chain = h.chain AND e.event_type = 'CashMoved' AND e.effective_on <= p.through
WHERE h.chain = 1 AND e.group_size = 1 ORDER BY e.seq LIMIT 1;

-- I16 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', h.seq, 'prev_hash', l.hash, 'hash', h.hash, 'recorded_at',
    h.recorded_at, 'epoch', h.epoch, 'stream', 'again', 'stream_version', 1, 'effective_on', p.through + 1))).*
FROM ledger.chain_heads h JOIN ledger.events l ON l.chain = h.chain AND l.seq = h.seq - 1
    JOIN ledger.closed_periods p ON p.chain = h.chain AND p.number = 1
    JOIN ledger.events e ON e.chain = h.chain AND e.event_type = 'CashMoved' AND e.effective_on <= p.through
WHERE h.chain = 1 AND e.group_size = 1 ORDER BY e.seq LIMIT 1;

-- I16 intruder BYTES_MODIFIED
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
UPDATE ledger.events SET effective_on = (SELECT max(through) FROM ledger.closed_periods WHERE chain = 1)
WHERE chain = 1 AND seq = (SELECT max(seq) FROM ledger.events WHERE chain = 1);

-- I17 writer TL003 check_head
-- A group whose second event never comes.
UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = decode(repeat('ab', 32), 'hex')
WHERE chain = 1;
INSERT INTO ledger.events
SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash, 'hash',
    decode(repeat('ab', 32), 'hex'), 'recorded_at', e.recorded_at + 1, 'stream_version', e.stream_version + 1,
    'group_index', 0, 'group_size', 2))).*
FROM ledger.events e WHERE e.chain = 1 ORDER BY e.seq DESC LIMIT 1;

-- I17 intruder GROUP_PARTIAL
ALTER TABLE ledger.events DISABLE TRIGGER ALL;
DELETE FROM ledger.events e WHERE e.chain = 1
    AND e.seq = (SELECT min(seq) FROM ledger.events WHERE chain = 1 AND group_index = 1);

-- I18 writer taken
-- That a row is what the events make takes all of the events.
UPDATE ledger.accounts SET owner = 'somebody else' WHERE chain = 1 AND account = 'client-1';

-- I18 intruder PROJECTION_MISMATCH
UPDATE ledger.accounts SET owner = 'somebody else' WHERE chain = 1 AND account = 'client-1';

-- I18 intruder STATE_MISMATCH
ALTER TABLE ledger.state_digests DISABLE TRIGGER ALL;
UPDATE ledger.state_digests SET lanes = set_byte(lanes, 3, get_byte(lanes, 3) # 1) WHERE chain = 1;

-- I19 writer 23514 balances_held_not_negative
-- More released than was held.
UPDATE ledger.balances SET held = -1 WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I19 writer 23514 orders_hold_amount_not_negative
UPDATE ledger.orders SET hold_amount = -1 WHERE chain = 1 AND cum_qty > 0;

-- I19 writer taken
-- What was released of a hold is held again: its amounts are one text, and a balance holds the sum of many.
UPDATE ledger.holds SET remaining = legs, status = 'open' WHERE chain = 1 AND status = 'released';

-- I19 intruder PROJECTION_MISMATCH
UPDATE ledger.holds SET remaining = legs, status = 'open' WHERE chain = 1 AND status = 'released';

-- I19 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.balances DISABLE TRIGGER ALL;
UPDATE ledger.balances SET held = held + 1, settled = settled - 1
WHERE chain = 1 AND account = 'client-1' AND asset = 'USD';

-- I20 writer 23514 assets_scale_in_range
-- An asset finer than amounts are kept.
UPDATE ledger.assets SET scale = 19 WHERE chain = 1 AND asset = 'USD';

-- I20 writer taken
-- A cost finer than its asset: the decimals are in a row of another table.
UPDATE ledger.positions SET cost = cost + 0.000000001 WHERE chain = 1 AND account = 'client-1' AND qty > 0;

-- I20 intruder PROJECTION_MISMATCH
UPDATE ledger.positions SET cost = cost + 0.000000001 WHERE chain = 1 AND account = 'client-1' AND qty > 0;

-- I20 writer taken
-- A difference that nothing was posted for: parts, their whole and its postings are rows of several tables.
UPDATE ledger.allocations SET rounding = rounding + 1 WHERE chain = 1;

-- I20 intruder PROJECTION_MISMATCH
UPDATE ledger.allocations SET rounding = rounding + 1 WHERE chain = 1;

-- I20 intruder PROJECTION_MISMATCH
ALTER TABLE ledger.positions DISABLE TRIGGER ALL;
UPDATE ledger.positions SET cost = cost + 0.000000001 WHERE chain = 1 AND account = 'house-1' AND qty > 0;
