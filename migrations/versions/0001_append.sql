-- Append a small transaction by one call, which is one round trip and one plan a statement for the whole session.
-- It does what the journal does statement by statement for a large one, in the same order and with the caller's rights,
-- so every guard has its say: the head is compared and moved first, events and keys follow, then the read models, the
-- state digest and the boundary.
-- TL008 says that head or clock are not as expected: the caller then looks under the lock, and says which and why.
-- A call is a transaction by itself, so it may arrive when its sender is gone and others were told that it never did
-- anything. Who says so writes the head's row anew (chains.fence), and a call names the row's version that it follows.
-- The plans are made once, maybe while tables are empty and have no statistics, and then kept as they grow: only those
-- by an index stay right.
CREATE FUNCTION ledger.append(
    of_chain smallint, base_version xid, base_seq bigint, base_hash bytea, reign integer,
    last_seq bigint, last_hash bytea, last_recorded_at bigint,
    -- The server's clock has to be between these, and the head of no later time than that, in ns since 1970.
    earliest bigint, latest bigint, newest bigint,
    appended ledger.events[], claimed ledger.idempotency_keys[],
    names text[], added_counts integer[], changed_counts integer[], lines text[],
    digest_lanes bytea, digest bytea
) RETURNS xid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    -- Before the lock, for which it may wait long.
    IF (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint NOT BETWEEN earliest AND latest THEN
        RAISE EXCEPTION 'the clocks differ' USING ERRCODE = 'TL008';
    END IF;
    -- Whoever waits here for another transaction compares again with what that one left.
    UPDATE ledger.chain_heads h SET seq = last_seq, hash = last_hash, recorded_at = last_recorded_at
        WHERE h.chain = of_chain AND h.xmin = base_version AND h.seq = base_seq AND h.hash = base_hash AND h.epoch = reign
            AND h.mode = 'primary' AND h.recorded_at <= newest;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head is another' USING ERRCODE = 'TL008';
    END IF;
    INSERT INTO ledger.events SELECT * FROM unnest(appended);
    INSERT INTO ledger.idempotency_keys SELECT * FROM unnest(claimed);
    PERFORM ledger.put_rows(names, added_counts, changed_counts, lines);
    UPDATE ledger.state_digests s SET seq = last_seq, lanes = digest_lanes WHERE s.chain = of_chain;
    INSERT INTO ledger.commits VALUES (of_chain, last_seq, base_seq + 1, digest, last_recorded_at);
    RETURN pg_current_xact_id()::xid;
END $$;

REVOKE ALL ON FUNCTION ledger.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.append TO ledger_writer;
