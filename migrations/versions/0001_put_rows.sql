-- Made by `python -m ledger.storage.put_functions` from the tables as they were when this migration was made.
-- Each puts rows of one read model: what is new is inserted, so that a key which is there already is refused; what
-- changed is found by its key, and has to be there. They run with the caller's rights.

CREATE FUNCTION ledger.put_assets(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.assets SELECT * FROM unnest(added::ledger.assets[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.assets t SET
            kind = c.kind, scale = c.scale, name = c.name, version = c.version,
            splits = c.splits, moved_on = c.moved_on
            FROM unnest(changed::ledger.assets[]) c
            WHERE t.chain = c.chain AND t.asset = c.asset;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of assets were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_instruments(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.instruments SELECT * FROM unnest(added::ledger.instruments[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.instruments t SET
            asset = c.asset, quote_asset = c.quote_asset, settle_asset = c.settle_asset, tick = c.tick,
            lot = c.lot, multiplier = c.multiplier, settlement_cycle = c.settlement_cycle, calendar = c.calendar,
            product = c.product, venue = c.venue, symbol = c.symbol, isin = c.isin,
            version = c.version, split_on = c.split_on, renamed_to = c.renamed_to, amendments = c.amendments
            FROM unnest(changed::ledger.instruments[]) c
            WHERE t.chain = c.chain AND t.instrument = c.instrument;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of instruments were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_calendars(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.calendars SELECT * FROM unnest(added::ledger.calendars[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.calendars t SET
            calendar_version = c.calendar_version, holidays = c.holidays, cycles = c.cycles, version = c.version
            FROM unnest(changed::ledger.calendars[]) c
            WHERE t.chain = c.chain AND t.calendar = c.calendar;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of calendars were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_accounts(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.accounts SELECT * FROM unnest(added::ledger.accounts[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.accounts t SET
            owner = c.owner, kind = c.kind, base_asset = c.base_asset, cost_method = c.cost_method,
            parent = c.parent, status = c.status, version = c.version
            FROM unnest(changed::ledger.accounts[]) c
            WHERE t.chain = c.chain AND t.account = c.account;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of accounts were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_account_limits(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.account_limits SELECT * FROM unnest(added::ledger.account_limits[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.account_limits t SET
            floor = c.floor, hold_policy = c.hold_policy, max_position = c.max_position
            FROM unnest(changed::ledger.account_limits[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.asset = c.asset;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of account_limits were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_orders(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.orders SELECT * FROM unnest(added::ledger.orders[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.orders t SET
            cl_ord_id = c.cl_ord_id, account = c.account, instrument = c.instrument, side = c.side,
            qty = c.qty, ord_type = c.ord_type, price = c.price, stop_price = c.stop_price,
            tif = c.tif, expire_at = c.expire_at, strategy = c.strategy, parent_order = c.parent_order,
            venue = c.venue, venue_order_id = c.venue_order_id, status = c.status, accepted = c.accepted,
            triggered = c.triggered, terminal = c.terminal, done_for_day = c.done_for_day, pending_cancel = c.pending_cancel,
            pending_replace = c.pending_replace, cum_qty = c.cum_qty, cum_notional = c.cum_notional, hold_asset = c.hold_asset,
            hold_amount = c.hold_amount, hold_given = c.hold_given, split_on = c.split_on, terms_day = c.terms_day,
            version = c.version, asked = c.asked, asked_hold = c.asked_hold
            FROM unnest(changed::ledger.orders[]) c
            WHERE t.chain = c.chain AND t.order_id = c.order_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of orders were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_client_order_ids(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.client_order_ids SELECT * FROM unnest(added::ledger.client_order_ids[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.client_order_ids t SET
            order_id = c.order_id
            FROM unnest(changed::ledger.client_order_ids[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.cl_ord_id = c.cl_ord_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of client_order_ids were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_executions(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.executions SELECT * FROM unnest(added::ledger.executions[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.executions t SET
            kind = c.kind, event_seq = c.event_seq, order_id = c.order_id, account = c.account,
            instrument = c.instrument, side = c.side, qty = c.qty, price = c.price,
            asset = c.asset, gross = c.gross, gross_asset = c.gross_asset, fees = c.fees,
            bucket = c.bucket, settle_date = c.settle_date, live = c.live, ref_trade_date = c.ref_trade_date,
            ref_exec_id = c.ref_exec_id, root_trade_date = c.root_trade_date, root_exec_id = c.root_exec_id, settled_qty = c.settled_qty,
            settled_gross = c.settled_gross, cost_change = c.cost_change, realised_change = c.realised_change, late = c.late,
            allocation_id = c.allocation_id, content = c.content, follows = c.follows, settled_days = c.settled_days
            FROM unnest(changed::ledger.executions[]) c
            WHERE t.chain = c.chain AND t.venue = c.venue AND t.trade_date = c.trade_date AND t.exec_id = c.exec_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of executions were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_balances(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.balances SELECT * FROM unnest(added::ledger.balances[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.balances t SET
            settled = c.settled, unsettled = c.unsettled, held = c.held, floor = c.floor,
            credit_unsettled = c.credit_unsettled, breached = c.breached
            FROM unnest(changed::ledger.balances[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.asset = c.asset;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of balances were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_positions(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.positions SELECT * FROM unnest(added::ledger.positions[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.positions t SET
            qty = c.qty, cost = c.cost, realised = c.realised, fees = c.fees,
            day = c.day, opening = c.opening, newest = c.newest, day_trades = c.day_trades
            FROM unnest(changed::ledger.positions[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.instrument = c.instrument;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of positions were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_lots(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.lots SELECT * FROM unnest(added::ledger.lots[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.lots t SET
            venue = c.venue, trade_date = c.trade_date, exec_id = c.exec_id, qty = c.qty,
            value = c.value, open_qty = c.open_qty, open_cost = c.open_cost, live = c.live
            FROM unnest(changed::ledger.lots[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.instrument = c.instrument AND t.number = c.number;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of lots were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_lot_queues(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.lot_queues SELECT * FROM unnest(added::ledger.lot_queues[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.lot_queues t SET
            first_open = c.first_open, last = c.last, base = c.base, base_realised = c.base_realised
            FROM unnest(changed::ledger.lot_queues[]) c
            WHERE t.chain = c.chain AND t.account = c.account AND t.instrument = c.instrument;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of lot_queues were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_corporate_actions(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.corporate_actions SELECT * FROM unnest(added::ledger.corporate_actions[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.corporate_actions t SET
            kind = c.kind, instrument = c.instrument, asset = c.asset, ex_date = c.ex_date,
            event_seq = c.event_seq, content = c.content, version = c.version
            FROM unnest(changed::ledger.corporate_actions[]) c
            WHERE t.chain = c.chain AND t.ca_id = c.ca_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of corporate_actions were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_entitlements(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.entitlements SELECT * FROM unnest(added::ledger.entitlements[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.entitlements t SET
            instrument = c.instrument, qty = c.qty, new_qty = c.new_qty, gross = c.gross,
            tax = c.tax, paid_gross = c.paid_gross, paid_tax = c.paid_tax, cost_change = c.cost_change,
            realised_change = c.realised_change, settled_qty = c.settled_qty
            FROM unnest(changed::ledger.entitlements[]) c
            WHERE t.chain = c.chain AND t.ca_id = c.ca_id AND t.account = c.account;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of entitlements were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_marks(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.marks SELECT * FROM unnest(added::ledger.marks[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.marks t SET
            price = c.price, as_of = c.as_of, event_seq = c.event_seq
            FROM unnest(changed::ledger.marks[]) c
            WHERE t.chain = c.chain AND t.subject = c.subject AND t.day = c.day AND t.kind = c.kind;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of marks were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_closed_periods(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.closed_periods SELECT * FROM unnest(added::ledger.closed_periods[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.closed_periods t SET
            through = c.through, event_seq = c.event_seq, trial_balance = c.trial_balance
            FROM unnest(changed::ledger.closed_periods[]) c
            WHERE t.chain = c.chain AND t.number = c.number;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of closed_periods were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_holds(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.holds SELECT * FROM unnest(added::ledger.holds[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.holds t SET
            legs = c.legs, remaining = c.remaining, expires_at = c.expires_at, ref = c.ref,
            status = c.status, version = c.version
            FROM unnest(changed::ledger.holds[]) c
            WHERE t.chain = c.chain AND t.hold_id = c.hold_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of holds were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_movements(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.movements SELECT * FROM unnest(added::ledger.movements[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.movements t SET
            event_seq = c.event_seq, effective_on = c.effective_on, postings = c.postings, content = c.content,
            reversed_by = c.reversed_by
            FROM unnest(changed::ledger.movements[]) c
            WHERE t.chain = c.chain AND t.kind = c.kind AND t.movement_id = c.movement_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of movements were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_quarantine(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.quarantine SELECT * FROM unnest(added::ledger.quarantine[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.quarantine t SET
            original_type = c.original_type, subject = c.subject, rule = c.rule, status = c.status,
            answered_seq = c.answered_seq, resolution = c.resolution, proposed_by = c.proposed_by, approved_by = c.approved_by
            FROM unnest(changed::ledger.quarantine[]) c
            WHERE t.chain = c.chain AND t.seq = c.seq;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of quarantine were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_breaks(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.breaks SELECT * FROM unnest(added::ledger.breaks[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.breaks t SET
            ledger_value = c.ledger_value, external_value = c.external_value, as_of = c.as_of, opened_seq = c.opened_seq,
            closed_seq = c.closed_seq
            FROM unnest(changed::ledger.breaks[]) c
            WHERE t.chain = c.chain AND t.source = c.source AND t.key = c.key;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of breaks were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_settlement_fails(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.settlement_fails SELECT * FROM unnest(added::ledger.settlement_fails[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.settlement_fails t SET
            event_seq = c.event_seq, venue = c.venue, trade_date = c.trade_date, exec_id = c.exec_id,
            account = c.account, asset = c.asset, qty = c.qty, amount_asset = c.amount_asset,
            amount = c.amount, leg = c.leg, reason = c.reason, new_intended_date = c.new_intended_date,
            content = c.content
            FROM unnest(changed::ledger.settlement_fails[]) c
            WHERE t.chain = c.chain AND t.settlement_id = c.settlement_id AND t.failed_on = c.failed_on AND t.number = c.number;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of settlement_fails were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_allocations(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.allocations SELECT * FROM unnest(added::ledger.allocations[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.allocations t SET
            event_seq = c.event_seq, account = c.account, venue = c.venue, trade_date = c.trade_date,
            exec_ids = c.exec_ids, lines = c.lines, rounding = c.rounding, reversed_by = c.reversed_by
            FROM unnest(changed::ledger.allocations[]) c
            WHERE t.chain = c.chain AND t.allocation_id = c.allocation_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of allocations were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_controls(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.controls SELECT * FROM unnest(added::ledger.controls[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.controls t SET
            second_person = c.second_person, event_seq = c.event_seq
            FROM unnest(changed::ledger.controls[]) c
            WHERE t.chain = c.chain AND t.action = c.action;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of controls were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_streams(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.streams SELECT * FROM unnest(added::ledger.streams[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.streams t SET
            version = c.version
            FROM unnest(changed::ledger.streams[]) c
            WHERE t.chain = c.chain AND t.stream = c.stream;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of streams were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_chain_keys(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.chain_keys SELECT * FROM unnest(added::ledger.chain_keys[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.chain_keys t SET
            purpose = c.purpose, name = c.name, public_key = c.public_key, valid_from_seq = c.valid_from_seq,
            valid_to_seq = c.valid_to_seq, revoked = c.revoked
            FROM unnest(changed::ledger.chain_keys[]) c
            WHERE t.chain = c.chain AND t.key_id = c.key_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of chain_keys were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_incidents(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.incidents SELECT * FROM unnest(added::ledger.incidents[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.incidents t SET
            severity = c.severity, cause = c.cause, status = c.status, opened_at = c.opened_at,
            acknowledged_at = c.acknowledged_at, mitigated_at = c.mitigated_at, closed_at = c.closed_at, version = c.version
            FROM unnest(changed::ledger.incidents[]) c
            WHERE t.chain = c.chain AND t.incident_id = c.incident_id;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of incidents were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_divergent_tails(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.divergent_tails SELECT * FROM unnest(added::ledger.divergent_tails[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.divergent_tails t SET
            from_seq = c.from_seq, to_seq = c.to_seq, head_hash = c.head_hash, bundle_hash = c.bundle_hash,
            disposed = c.disposed
            FROM unnest(changed::ledger.divergent_tails[]) c
            WHERE t.chain = c.chain AND t.epoch = c.epoch;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of divergent_tails were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_divergent_events(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.divergent_events SELECT * FROM unnest(added::ledger.divergent_events[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.divergent_events t SET
            disposition = c.disposition, new_seq = c.new_seq
            FROM unnest(changed::ledger.divergent_events[]) c
            WHERE t.chain = c.chain AND t.epoch = c.epoch AND t.seq = c.seq;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of divergent_events were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

CREATE FUNCTION ledger.put_schemas(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.schemas SELECT * FROM unnest(added::ledger.schemas[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.schemas t SET
            schema_hash = c.schema_hash, encoder_version = c.encoder_version, event_seq = c.event_seq
            FROM unnest(changed::ledger.schemas[]) c
            WHERE t.chain = c.chain AND t.event_type = c.event_type AND t.schema_version = c.schema_version;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of schemas were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;

-- Rows of several tables: of each its name, how many of *lines* are new and how many changed.
CREATE FUNCTION ledger.put_rows(names text[], added_counts integer[], changed_counts integer[], lines text[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first integer := 1;
    middle integer;
    after integer;
    added text[];
    changed text[];
BEGIN
    FOR n IN 1 .. cardinality(names) LOOP
        middle := first + added_counts[n];
        after := middle + changed_counts[n];
        added := lines[first : middle - 1];
        changed := lines[middle : after - 1];
        first := after;
        CASE names[n]
            WHEN 'assets' THEN PERFORM ledger.put_assets(added, changed);
            WHEN 'instruments' THEN PERFORM ledger.put_instruments(added, changed);
            WHEN 'calendars' THEN PERFORM ledger.put_calendars(added, changed);
            WHEN 'accounts' THEN PERFORM ledger.put_accounts(added, changed);
            WHEN 'account_limits' THEN PERFORM ledger.put_account_limits(added, changed);
            WHEN 'orders' THEN PERFORM ledger.put_orders(added, changed);
            WHEN 'client_order_ids' THEN PERFORM ledger.put_client_order_ids(added, changed);
            WHEN 'executions' THEN PERFORM ledger.put_executions(added, changed);
            WHEN 'balances' THEN PERFORM ledger.put_balances(added, changed);
            WHEN 'positions' THEN PERFORM ledger.put_positions(added, changed);
            WHEN 'lots' THEN PERFORM ledger.put_lots(added, changed);
            WHEN 'lot_queues' THEN PERFORM ledger.put_lot_queues(added, changed);
            WHEN 'corporate_actions' THEN PERFORM ledger.put_corporate_actions(added, changed);
            WHEN 'entitlements' THEN PERFORM ledger.put_entitlements(added, changed);
            WHEN 'marks' THEN PERFORM ledger.put_marks(added, changed);
            WHEN 'closed_periods' THEN PERFORM ledger.put_closed_periods(added, changed);
            WHEN 'holds' THEN PERFORM ledger.put_holds(added, changed);
            WHEN 'movements' THEN PERFORM ledger.put_movements(added, changed);
            WHEN 'quarantine' THEN PERFORM ledger.put_quarantine(added, changed);
            WHEN 'breaks' THEN PERFORM ledger.put_breaks(added, changed);
            WHEN 'settlement_fails' THEN PERFORM ledger.put_settlement_fails(added, changed);
            WHEN 'allocations' THEN PERFORM ledger.put_allocations(added, changed);
            WHEN 'controls' THEN PERFORM ledger.put_controls(added, changed);
            WHEN 'streams' THEN PERFORM ledger.put_streams(added, changed);
            WHEN 'chain_keys' THEN PERFORM ledger.put_chain_keys(added, changed);
            WHEN 'incidents' THEN PERFORM ledger.put_incidents(added, changed);
            WHEN 'divergent_tails' THEN PERFORM ledger.put_divergent_tails(added, changed);
            WHEN 'divergent_events' THEN PERFORM ledger.put_divergent_events(added, changed);
            WHEN 'schemas' THEN PERFORM ledger.put_schemas(added, changed);
        END CASE;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION
    ledger.put_rows(text[], integer[], integer[], text[]),
    ledger.put_assets(text[], text[]),
    ledger.put_instruments(text[], text[]),
    ledger.put_calendars(text[], text[]),
    ledger.put_accounts(text[], text[]),
    ledger.put_account_limits(text[], text[]),
    ledger.put_orders(text[], text[]),
    ledger.put_client_order_ids(text[], text[]),
    ledger.put_executions(text[], text[]),
    ledger.put_balances(text[], text[]),
    ledger.put_positions(text[], text[]),
    ledger.put_lots(text[], text[]),
    ledger.put_lot_queues(text[], text[]),
    ledger.put_corporate_actions(text[], text[]),
    ledger.put_entitlements(text[], text[]),
    ledger.put_marks(text[], text[]),
    ledger.put_closed_periods(text[], text[]),
    ledger.put_holds(text[], text[]),
    ledger.put_movements(text[], text[]),
    ledger.put_quarantine(text[], text[]),
    ledger.put_breaks(text[], text[]),
    ledger.put_settlement_fails(text[], text[]),
    ledger.put_allocations(text[], text[]),
    ledger.put_controls(text[], text[]),
    ledger.put_streams(text[], text[]),
    ledger.put_chain_keys(text[], text[]),
    ledger.put_incidents(text[], text[]),
    ledger.put_divergent_tails(text[], text[]),
    ledger.put_divergent_events(text[], text[]),
    ledger.put_schemas(text[], text[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    ledger.put_rows(text[], integer[], integer[], text[]),
    ledger.put_assets(text[], text[]),
    ledger.put_instruments(text[], text[]),
    ledger.put_calendars(text[], text[]),
    ledger.put_accounts(text[], text[]),
    ledger.put_account_limits(text[], text[]),
    ledger.put_orders(text[], text[]),
    ledger.put_client_order_ids(text[], text[]),
    ledger.put_executions(text[], text[]),
    ledger.put_balances(text[], text[]),
    ledger.put_positions(text[], text[]),
    ledger.put_lots(text[], text[]),
    ledger.put_lot_queues(text[], text[]),
    ledger.put_corporate_actions(text[], text[]),
    ledger.put_entitlements(text[], text[]),
    ledger.put_marks(text[], text[]),
    ledger.put_closed_periods(text[], text[]),
    ledger.put_holds(text[], text[]),
    ledger.put_movements(text[], text[]),
    ledger.put_quarantine(text[], text[]),
    ledger.put_breaks(text[], text[]),
    ledger.put_settlement_fails(text[], text[]),
    ledger.put_allocations(text[], text[]),
    ledger.put_controls(text[], text[]),
    ledger.put_streams(text[], text[]),
    ledger.put_chain_keys(text[], text[]),
    ledger.put_incidents(text[], text[]),
    ledger.put_divergent_tails(text[], text[]),
    ledger.put_divergent_events(text[], text[]),
    ledger.put_schemas(text[], text[])
    TO ledger_writer;
