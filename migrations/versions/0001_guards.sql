-- What guards history and state beside constraints: functions, triggers, grants.
-- Functions name their schemas and search nothing else, so that nobody can slip a table of their own under them.

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: history is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'TL002';
END $$;

-- Check a run of new events: under a head that has moved over them already, contiguous with what is there, linked,
-- later, in whole groups, each the next version of its stream, by a primary, from a source that the login may speak for. The journal checks the same; this
-- stops whoever writes without it. With check_head below, neither events without the head nor the head without events
-- can be committed.
CREATE FUNCTION ledger.check_appended() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head ledger.chain_heads;
    run record;
    before record;
    closed record;
    torn text;
BEGIN
    FOR run IN SELECT chain, min(seq) AS first, max(seq) AS last, count(*) AS count, min(effective_on) AS earliest
        FROM appended GROUP BY chain LOOP
        SELECT * INTO head FROM ledger.chain_heads h WHERE h.chain = run.chain;
        IF NOT FOUND OR run.last > head.seq OR run.count <> run.last - run.first + 1 THEN
            RAISE EXCEPTION 'events % to % do not go up to the head at %', run.first, run.last, head.seq
                USING ERRCODE = 'TL003';
        END IF;
        IF run.first = 1 THEN
            SELECT genesis AS hash, 0::bigint AS recorded_at, 1 AS epoch, 0::smallint AS group_index,
                   1::smallint AS group_size INTO before
                FROM ledger.chains c WHERE c.chain = run.chain;
        ELSE
            SELECT hash, recorded_at, epoch, group_index, group_size INTO before
                FROM ledger.events e WHERE e.chain = run.chain AND e.seq = run.first - 1;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no event % for event % to follow', run.first - 1, run.first
                USING ERRCODE = 'TL003';
        END IF;
        IF head.mode <> 'primary' AND NOT pg_has_role(session_user, 'ledger_applier', 'MEMBER') THEN
            RAISE EXCEPTION 'this region is a replica of the chain and may not append' USING ERRCODE = 'TL001';
        END IF;
        IF head.mode = 'primary' AND EXISTS (
            SELECT 1 FROM (SELECT DISTINCT source FROM appended a WHERE a.chain = run.chain) s
            WHERE NOT EXISTS (SELECT 1 FROM ledger.source_logins l
                              WHERE l.login = session_user AND l.source = s.source)) THEN
            RAISE EXCEPTION 'login % may not write for the source given; source_logins binds them', session_user
                USING ERRCODE = 'TL004';
        END IF;
        IF EXISTS (
            SELECT 1 FROM (
                SELECT prev_hash, recorded_at, lag(hash, 1, before.hash) OVER w AS linked,
                       lag(recorded_at, 1, before.recorded_at) OVER w AS earlier,
                       epoch, lag(epoch, 1, before.epoch) OVER w AS reign,
                       group_index, group_size, lag(group_index, 1, before.group_index) OVER w AS place,
                       lag(group_size, 1, before.group_size) OVER w AS size
                FROM appended a WHERE a.chain = run.chain WINDOW w AS (ORDER BY seq)) n
            WHERE prev_hash <> linked OR recorded_at <= earlier OR epoch < reign
                OR CASE group_index WHEN 0 THEN place <> size - 1 ELSE group_index <> place + 1 OR group_size <> size END
            ) THEN
            RAISE EXCEPTION
                'an event does not name the hash before it, is not later, is of an epoch that ended, or tears a group'
                USING ERRCODE = 'TL003';
        END IF;
        -- A version twice is refused by events_stream_version before this runs, so a stream has no gap in a run when
        -- it has as many events as versions; only where the run does not begin the stream is one looked up, as a value:
        -- NOT EXISTS may be planned as a table of all streams, made anew from the whole chain for each run. And by its
        -- stream: without statistics the primary key seems as good, whose first column all events of the chain have.
        SELECT format('%s after version %s', stream, first - 1) INTO torn FROM (
            SELECT stream, min(stream_version) AS first, max(stream_version) AS last, count(*) AS count
            FROM appended a WHERE a.chain = run.chain GROUP BY stream) s
            WHERE last - first + 1 <> count OR first > 1 AND (
                SELECT e.seq FROM ledger.events e
                WHERE e.chain + 0 = run.chain AND e.stream = s.stream AND e.stream_version = s.first - 1) IS NULL
            LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the versions of stream % do not follow each other', torn USING ERRCODE = 'TL003';
        END IF;
        -- What counts for a closed day would change figures that were reported. Events up to the closing itself came
        -- before it, also where a replica takes both in one transaction.
        SELECT through, event_seq INTO closed FROM ledger.closed_periods p
            WHERE p.chain = run.chain ORDER BY p.number DESC LIMIT 1;
        IF FOUND AND run.last > closed.event_seq AND run.earliest <= closed.through AND EXISTS (
            SELECT 1 FROM appended a
            WHERE a.chain = run.chain AND a.seq > closed.event_seq AND a.effective_on <= closed.through) THEN
            RAISE EXCEPTION 'an event counts for a day up to %, through which the books are closed', closed.through
                USING ERRCODE = 'TL005';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- An idempotency key is that of a group which is there: a key without one would answer a request that was never
-- recorded. Both sides are few and near each other, so they are joined at once; a lookup a key would cost ten times more.
-- The plan is kept for the session, and may be made inside ledger.append, which has hash joins off.
CREATE FUNCTION ledger.check_keys() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET enable_hashjoin = on AS $$
DECLARE
    run record;
BEGIN
    FOR run IN SELECT chain, min(first_seq) AS first, max(first_seq) AS last FROM claimed GROUP BY chain LOOP
        IF EXISTS (
            SELECT 1 FROM claimed k LEFT JOIN (
                SELECT seq, source, idempotency_key FROM ledger.events e
                WHERE e.chain = run.chain AND e.seq BETWEEN run.first AND run.last AND e.group_index = 0) g
                ON g.seq = k.first_seq AND g.source = k.source AND g.idempotency_key = k.key
            WHERE k.chain = run.chain AND g.seq IS NULL) THEN
            RAISE EXCEPTION 'an idempotency key is of no group that begins where it says' USING ERRCODE = 'TL003';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Money is neither made nor lost: what a transaction does to the balances sums to zero in each asset. One statement
-- inserts balances and another changes them, so what they leave over is carried in the head's row, by the owner's right:
-- who appends may not set it. check_head asks for it when the transaction ends. Balances follow from events, so those
-- were appended before: the last event that is there is of this transaction.
CREATE FUNCTION ledger.check_balanced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved jsonb;
    touched smallint[];
    unmoved smallint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT chain) INTO touched FROM put;
    ELSE
        -- Of a row that is given to another chain, the one that it is taken from changes as well.
        SELECT array_agg(DISTINCT chain) INTO touched FROM (SELECT chain FROM put UNION ALL SELECT chain FROM taken) b;
    END IF;
    SELECT t INTO unmoved FROM unnest(touched) t WHERE (
        SELECT e.xmin FROM ledger.events e WHERE e.chain = t ORDER BY e.chain DESC, e.seq DESC LIMIT 1)
        IS DISTINCT FROM pg_current_xact_id()::xid;
    IF unmoved IS NOT NULL THEN
        RAISE EXCEPTION 'balances of chain % change only with its events, and this transaction has appended none', unmoved
            USING ERRCODE = 'TL006';
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT jsonb_object_agg(chain, sums) INTO moved FROM (
            SELECT chain, jsonb_object_agg(asset, amount) AS sums FROM (
                SELECT chain, asset, sum(settled + unsettled + held) AS amount FROM put GROUP BY chain, asset) s
            WHERE amount <> 0 GROUP BY chain) c;
    ELSE
        -- Most statements change balances by sums of zero, and are done with that.
        PERFORM 1 FROM (
            SELECT chain, asset, settled + unsettled + held AS amount FROM put
            UNION ALL SELECT chain, asset, -settled - unsettled - held FROM taken) m
            GROUP BY chain, asset HAVING sum(amount) <> 0 LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        SELECT jsonb_object_agg(chain, sums) INTO moved FROM (
            SELECT chain, jsonb_object_agg(asset, amount) AS sums FROM (
                SELECT chain, asset, sum(amount) AS amount FROM (
                    SELECT chain, asset, settled + unsettled + held AS amount FROM put
                    UNION ALL SELECT chain, asset, -settled - unsettled - held FROM taken) m
                GROUP BY chain, asset) s
            WHERE amount <> 0 GROUP BY chain) c;
    END IF;
    -- This asks check_head anew: where constraints were set to be immediate it has had its turn, and takes it again.
    IF moved IS NOT NULL THEN
        UPDATE ledger.chain_heads h SET unbalanced = (
            SELECT jsonb_object_agg(key, amount) FROM (
                SELECT key, sum(value::numeric) AS amount FROM (
                    SELECT * FROM jsonb_each_text(moved -> h.chain::text)
                    UNION ALL SELECT * FROM jsonb_each_text(h.unbalanced)) m
                GROUP BY key) s
            WHERE amount <> 0)
            WHERE moved ? h.chain::text;
    END IF;
    RETURN NULL;
END $$;

-- A boundary ends where the head is and begins where the last one ended, so that none can be slipped in or left out. It
-- ends a group: within a transaction the head may stand inside one, and what is published up to there would be half of it.
CREATE FUNCTION ledger.check_committed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head ledger.chain_heads;
    before bigint;
BEGIN
    SELECT * INTO head FROM ledger.chain_heads h WHERE h.chain = NEW.chain;
    SELECT last_seq INTO before FROM ledger.commits c WHERE c.chain = NEW.chain AND c.last_seq < NEW.last_seq
        ORDER BY c.chain DESC, c.last_seq DESC LIMIT 1;
    IF (NEW.first_seq, NEW.last_seq, NEW.committed_at)
        IS DISTINCT FROM (coalesce(before, 0) + 1, head.seq, head.recorded_at) THEN
        RAISE EXCEPTION 'a commit of events % to % is not what follows the last one up to the head', NEW.first_seq,
            NEW.last_seq USING ERRCODE = 'TL003';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM ledger.events e
                   WHERE e.chain = NEW.chain AND e.seq = NEW.last_seq AND e.group_index = e.group_size - 1) THEN
        RAISE EXCEPTION 'a commit ends at event %, which is not there or does not end its group', NEW.last_seq
            USING ERRCODE = 'TL003';
    END IF;
    RETURN NULL;
END $$;

-- A period is closed after those before it, by an event that does so, through a day that was over by then. check_appended
-- looks at the last closing alone, so one of an earlier day, or of an event to come, would open what is closed, and one
-- through a day to come would shut out every event until then.
CREATE FUNCTION ledger.check_closed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    closing record;
BEGIN
    IF EXISTS (
        SELECT 1 FROM ledger.closed_periods p WHERE p.chain = NEW.chain AND p.number <> NEW.number AND (
            (p.number < NEW.number) <> (p.through < NEW.through)
            OR (p.number < NEW.number) <> (p.event_seq < NEW.event_seq))) THEN
        RAISE EXCEPTION 'closing % through % at event % does not follow the one before', NEW.number, NEW.through,
            NEW.event_seq USING ERRCODE = 'TL005';
    END IF;
    -- The day that both clocks had reached, the caller's and the ledger's, as the rule has it.
    SELECT event_type, date '1970-01-01' + floor(least(occurred_at, recorded_at) / 86400000000000.0)::integer AS day
        INTO closing FROM ledger.events e WHERE e.chain = NEW.chain AND e.seq = NEW.event_seq;
    IF closing.event_type IS DISTINCT FROM 'PeriodClosed' OR NEW.through >= closing.day THEN
        RAISE EXCEPTION 'closing % through % at event %, which is %; expected one of type PeriodClosed, and a day before '
            'its own', NEW.number, NEW.through, NEW.event_seq,
            coalesce('of type ' || closing.event_type || ' and of ' || closing.day, 'not there')
            USING ERRCODE = 'TL005';
    END IF;
    RETURN NULL;
END $$;

-- A tile fills from left to right and a checkpoint gathers cosignatures: both grow at their end, and what was there stays.
CREATE FUNCTION ledger.check_grown() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'tiles' THEN
        IF (NEW.chain, NEW.level, NEW.number) IS DISTINCT FROM (OLD.chain, OLD.level, OLD.number)
            OR substr(NEW.hashes, 1, octet_length(OLD.hashes)) IS DISTINCT FROM OLD.hashes THEN
            RAISE EXCEPTION 'tile % of level % only grows', OLD.number, OLD.level USING ERRCODE = 'TL002';
        END IF;
    ELSIF (NEW.chain, NEW.size, NEW.root, NEW.sealed_at) IS DISTINCT FROM (OLD.chain, OLD.size, OLD.root, OLD.sealed_at)
        OR NOT starts_with(NEW.note, OLD.note) THEN
        RAISE EXCEPTION 'the checkpoint of % only gathers signatures', OLD.size USING ERRCODE = 'TL002';
    END IF;
    RETURN NEW;
END $$;

-- A checkpoint is of events that are there, and larger than the one before: none can be slipped in behind.
CREATE FUNCTION ledger.check_sealed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.size > (SELECT seq FROM ledger.chain_heads h WHERE h.chain = NEW.chain)
        OR EXISTS (SELECT 1 FROM ledger.checkpoints c WHERE c.chain = NEW.chain AND c.size > NEW.size) THEN
        RAISE EXCEPTION 'a checkpoint of % is past the head, or behind one that is there', NEW.size
            USING ERRCODE = 'TL003';
    END IF;
    RETURN NULL;
END $$;

-- When a transaction ends, the head must be the last event that is there: one that ran ahead would hide a cut-off tail,
-- one that fell behind would hide events, one of an earlier time would let the next event be backdated, and one of
-- another epoch would bring back a reign that ended or shut out the one that holds. A head of no events is the genesis.
-- The last event also ends its group: a part of one would be followed by strangers.
-- And what the transaction did to balances, of which check_balanced left here what is over, sums to zero.
CREATE FUNCTION ledger.check_head() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head ledger.chain_heads;
    last record;
    genesis bytea;
BEGIN
    SELECT * INTO head FROM ledger.chain_heads h WHERE h.chain = NEW.chain;
    IF head.unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'balances of chain % would not sum to zero, by asset: %', head.chain, head.unbalanced
            USING ERRCODE = 'TL006';
    END IF;
    -- One step down the primary key; a join would be planned by statistics, which lag behind a growing table.
    SELECT seq, hash, recorded_at, epoch, group_index = group_size - 1 AS whole INTO last FROM ledger.events e
        WHERE e.chain = head.chain ORDER BY e.chain DESC, e.seq DESC LIMIT 1;
    IF FOUND THEN
        IF (last.seq, last.hash, last.recorded_at, last.epoch)
            = (head.seq, head.hash, head.recorded_at, head.epoch) THEN
            IF NOT last.whole THEN
                RAISE EXCEPTION 'the last event would not end its group' USING ERRCODE = 'TL003';
            END IF;
            RETURN NULL;
        END IF;
    ELSE
        SELECT c.genesis INTO genesis FROM ledger.chains c WHERE c.chain = head.chain;
        IF (head.seq, head.hash, head.recorded_at) = (0, genesis, 0) THEN
            RETURN NULL;
        END IF;
    END IF;
    RAISE EXCEPTION 'the head would not be the last event' USING ERRCODE = 'TL003';
END $$;

-- The one door through the guards of events, for a repair: put back those whose rows were damaged or lost, from a copy
-- whose bytes the caller has verified, and take away rows that stand where no event can. The rows that were there are
-- kept with the reason. It runs with the caller's rights, and only the owner of the table may set its triggers aside,
-- which ends with the transaction whatever happens. Neighbours that were damaged together come together: one by one,
-- none of them would link.
CREATE FUNCTION ledger.restore_events(of_chain smallint, restored ledger.events[], misplaced tid[], reason text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head ledger.chain_heads;
    wrong bigint;
    changed_at bigint := (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint;
BEGIN
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'a repair needs a reason' USING ERRCODE = 'TL002';
    END IF;
    SELECT * INTO head FROM ledger.chain_heads h WHERE h.chain = of_chain FOR UPDATE;
    SELECT r.seq INTO wrong FROM unnest(restored) r
        WHERE r.chain IS DISTINCT FROM of_chain OR coalesce(r.seq NOT BETWEEN 1 AND head.seq, true) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'seq % is not one of the chain, which ends at %', wrong, head.seq USING ERRCODE = 'TL003';
    END IF;
    -- What is put back must be the missing links; the hash over its bytes is for the caller to check.
    SELECT l.seq INTO wrong FROM (
        SELECT n.seq, n.hash, n.prev_hash, lag(n.seq) OVER w AS before, lag(n.hash) OVER w AS linked FROM (
            SELECT r.seq, r.hash, r.prev_hash FROM unnest(restored) r
            UNION ALL SELECT e.seq, e.hash, e.prev_hash FROM ledger.events e WHERE e.chain = of_chain
                AND e.seq IN (SELECT r.seq + step FROM unnest(restored) r, unnest(ARRAY[-1, 1]) step)
                AND e.seq NOT IN (SELECT r.seq FROM unnest(restored) r)) n
        WINDOW w AS (ORDER BY n.seq)) l
        WHERE l.before = l.seq - 1 AND l.prev_hash <> l.linked OR l.seq = head.seq AND l.hash <> head.hash LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the event does not link with its neighbours at seq %', wrong USING ERRCODE = 'TL003';
    END IF;
    -- In a place of a chain a row is an event, however false: it is replaced, never only taken away. A number that no
    -- chain has is none, whatever head was put under it.
    SELECT e.seq INTO wrong FROM ledger.events e JOIN ledger.chain_heads h ON h.chain = e.chain
        WHERE e.ctid = ANY (misplaced) AND e.seq BETWEEN 1 AND h.seq
            AND (e.chain = of_chain OR EXISTS (SELECT FROM ledger.chains c WHERE c.chain = e.chain)) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'seq % is a place of its chain, and is not emptied', wrong USING ERRCODE = 'TL003';
    END IF;
    INSERT INTO ledger.history_changes (changed_at, changed_by, reason, old_row)
        SELECT changed_at, session_user, reason, coalesce(row_to_json(e)::text, 'null')
        FROM unnest(restored) r LEFT JOIN ledger.events e ON e.chain = of_chain AND e.seq = r.seq
        UNION ALL SELECT changed_at, session_user, reason, row_to_json(e)::text FROM ledger.events e
        WHERE e.ctid = ANY (misplaced);
    ALTER TABLE ledger.events DISABLE TRIGGER USER;
    DELETE FROM ledger.events e WHERE e.ctid = ANY (misplaced)
        OR e.chain = of_chain AND e.seq IN (SELECT r.seq FROM unnest(restored) r);
    INSERT INTO ledger.events SELECT * FROM unnest(restored);
    ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER refuse_change;
    ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER check_appended;
END $$;

REVOKE ALL ON FUNCTION ledger.refuse_change(), ledger.check_appended(), ledger.check_head(), ledger.check_keys(),
    ledger.check_committed(), ledger.check_closed(), ledger.check_balanced(), ledger.check_grown(),
    ledger.check_sealed(),
    ledger.restore_events(smallint, ledger.events[], tid[], text) FROM PUBLIC;

CREATE TRIGGER check_appended AFTER INSERT ON ledger.events
    REFERENCING NEW TABLE AS appended FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_appended();
ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER check_appended;
CREATE TRIGGER check_keys AFTER INSERT ON ledger.idempotency_keys
    REFERENCING NEW TABLE AS claimed FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_keys();
ALTER TABLE ledger.idempotency_keys ENABLE ALWAYS TRIGGER check_keys;
CREATE TRIGGER check_balanced_new AFTER INSERT ON ledger.balances
    REFERENCING NEW TABLE AS put FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_balanced();
CREATE TRIGGER check_balanced_changed AFTER UPDATE ON ledger.balances
    REFERENCING OLD TABLE AS taken NEW TABLE AS put FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_balanced();
ALTER TABLE ledger.balances ENABLE ALWAYS TRIGGER check_balanced_new;
ALTER TABLE ledger.balances ENABLE ALWAYS TRIGGER check_balanced_changed;
-- One row a transaction, so a trigger for each row costs nothing.
CREATE TRIGGER check_committed AFTER INSERT ON ledger.commits
    FOR EACH ROW EXECUTE FUNCTION ledger.check_committed();
ALTER TABLE ledger.commits ENABLE ALWAYS TRIGGER check_committed;
CREATE TRIGGER check_closed AFTER INSERT ON ledger.closed_periods
    FOR EACH ROW EXECUTE FUNCTION ledger.check_closed();
ALTER TABLE ledger.closed_periods ENABLE ALWAYS TRIGGER check_closed;
CREATE TRIGGER check_grown BEFORE UPDATE ON ledger.tiles FOR EACH ROW EXECUTE FUNCTION ledger.check_grown();
ALTER TABLE ledger.tiles ENABLE ALWAYS TRIGGER check_grown;
CREATE TRIGGER check_grown BEFORE UPDATE ON ledger.checkpoints FOR EACH ROW EXECUTE FUNCTION ledger.check_grown();
ALTER TABLE ledger.checkpoints ENABLE ALWAYS TRIGGER check_grown;
CREATE TRIGGER check_sealed AFTER INSERT ON ledger.checkpoints FOR EACH ROW EXECUTE FUNCTION ledger.check_sealed();
ALTER TABLE ledger.checkpoints ENABLE ALWAYS TRIGGER check_sealed;
CREATE CONSTRAINT TRIGGER check_head AFTER INSERT OR UPDATE ON ledger.chain_heads
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_head();
ALTER TABLE ledger.chain_heads ENABLE ALWAYS TRIGGER check_head;
ALTER TABLE ledger.state_digests ALTER COLUMN lanes SET STORAGE PLAIN;
-- Hashes do not get smaller by being compressed.
ALTER TABLE ledger.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

DO $$
DECLARE
    name text;
    kept text;
BEGIN
    FOREACH name IN ARRAY ARRAY['events', 'idempotency_keys', 'commits', 'chains', 'history_changes',
                                'closed_periods'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I
            FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', name);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_change', name);
    END LOOP;
    -- Read models and heads change, and are never deleted; a closing does neither. Who may speak for a source is the owner's to give and take.
    -- Snapshots and histories are made of the events, and made anew.
    FOR kept IN SELECT table_name FROM information_schema.tables WHERE table_schema = 'ledger'
        AND table_name NOT IN ('events', 'idempotency_keys', 'commits', 'chains', 'history_changes',
                               'closed_periods', 'source_logins', 'alembic_version', 'snapshots', 'read_model_watermarks',
                               'balance_history', 'position_history') LOOP
        EXECUTE format('CREATE TRIGGER refuse_delete BEFORE DELETE OR TRUNCATE ON ledger.%I
            FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', kept);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER refuse_delete', kept);
    END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC;
REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO ledger_writer, ledger_publisher, ledger_applier, ledger_sealer, ledger_auditor,
    ledger_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO ledger_writer, ledger_applier, ledger_auditor, ledger_reader;
GRANT SELECT ON ledger.chains, ledger.chain_heads, ledger.commits, ledger.events, ledger.chain_keys,
    ledger.acknowledgements, ledger.state_digests, ledger.alembic_version TO ledger_publisher;
GRANT INSERT, UPDATE ON ledger.acknowledgements TO ledger_publisher;
-- Who seals reads what is hashed, and writes hashes and what was signed, nothing else; the key is the signer's.
GRANT SELECT ON ledger.chains, ledger.chain_heads, ledger.events, ledger.chain_keys, ledger.tiles, ledger.checkpoints,
    ledger.alembic_version TO ledger_sealer;
GRANT INSERT, UPDATE (hashes) ON ledger.tiles TO ledger_sealer;
GRANT INSERT, UPDATE (note) ON ledger.checkpoints TO ledger_sealer;
GRANT INSERT ON ledger.events, ledger.idempotency_keys, ledger.commits TO ledger_writer, ledger_applier;
-- A replica makes its copy of the chain; a writer writes to chains that the owner made.
GRANT INSERT ON ledger.chains, ledger.state_digests, ledger.replica_state TO ledger_applier;
-- All but `unbalanced`, which would offset what its transaction then does to balances.
GRANT INSERT (chain, seq, hash, recorded_at, epoch, mode) ON ledger.chain_heads TO ledger_applier;
GRANT UPDATE ON ledger.replica_state TO ledger_applier;
-- The mode of a region is changed by its owner, at a promotion.
GRANT UPDATE (seq, hash, recorded_at, epoch) ON ledger.chain_heads TO ledger_writer, ledger_applier;
-- Locking the head needs a right to update it, which the line above gives.
GRANT UPDATE (seq, lanes) ON ledger.state_digests TO ledger_writer, ledger_applier;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['assets', 'instruments', 'calendars', 'accounts', 'account_limits', 'orders',
        'client_order_ids', 'executions', 'balances', 'positions', 'holds', 'movements', 'quarantine', 'breaks',
        'settlement_fails', 'allocations', 'controls',
        'streams', 'chain_keys',
        'lots', 'lot_queues', 'corporate_actions', 'entitlements', 'marks',
        'incidents', 'divergent_tails', 'divergent_events', 'schemas'] LOOP
        EXECUTE format('GRANT INSERT, UPDATE ON ledger.%I TO ledger_writer, ledger_applier', name);
    END LOOP;
END $$;
-- A closed period stays closed, and as it was: nobody who appends may move the wall that stands before them.
GRANT INSERT ON ledger.closed_periods TO ledger_writer, ledger_applier;
-- What is read of the past is kept by whoever keeps the chain, and may be thrown away: it is never trusted unverified.
GRANT INSERT, DELETE ON ledger.snapshots, ledger.balance_history, ledger.position_history
    TO ledger_writer, ledger_applier;
GRANT INSERT, UPDATE ON ledger.read_model_watermarks TO ledger_writer, ledger_applier;
