-- The tables as ledger/storage/tables.py described them when this migration was made.
CREATE TABLE ledger.chains (
	chain SMALLINT NOT NULL,
	chain_id UUID NOT NULL,
	origin TEXT NOT NULL,
	format_version SMALLINT NOT NULL,
	genesis BYTEA NOT NULL,
	CONSTRAINT chains_pkey PRIMARY KEY (chain),
	CONSTRAINT chains_chain_id_key UNIQUE (chain_id),
	CONSTRAINT chains_origin_key UNIQUE (origin),
	CONSTRAINT chains_genesis_width CHECK (octet_length(genesis) = 32)
);

CREATE TABLE ledger.history_changes (
	change BIGSERIAL NOT NULL,
	changed_at BIGINT NOT NULL,
	changed_by TEXT NOT NULL,
	reason TEXT NOT NULL,
	old_row TEXT NOT NULL,
	CONSTRAINT history_changes_pkey PRIMARY KEY (change)
);

CREATE TABLE ledger.source_logins (
	login TEXT NOT NULL,
	source TEXT NOT NULL,
	CONSTRAINT source_logins_pkey PRIMARY KEY (login, source)
);

CREATE TABLE ledger.account_limits (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	asset TEXT NOT NULL,
	floor NUMERIC NOT NULL,
	hold_policy TEXT NOT NULL,
	max_position NUMERIC,
	CONSTRAINT account_limits_pkey PRIMARY KEY (chain, account, asset),
	CONSTRAINT account_limits_floor_not_positive CHECK (floor <= 0),
	CONSTRAINT account_limits_amounts_finite CHECK (abs(floor + coalesce(max_position, 0)) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.accounts (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	owner TEXT NOT NULL,
	kind TEXT NOT NULL,
	base_asset TEXT NOT NULL,
	cost_method TEXT NOT NULL,
	parent TEXT,
	status TEXT NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT accounts_pkey PRIMARY KEY (chain, account)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.acknowledgements (
	chain SMALLINT NOT NULL,
	replica TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	seq BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	state_digest BYTEA NOT NULL,
	applied_at BIGINT NOT NULL,
	received_at BIGINT NOT NULL,
	signature BYTEA NOT NULL,
	CONSTRAINT acknowledgements_pkey PRIMARY KEY (chain, replica),
	CONSTRAINT acknowledgements_hash_width CHECK (octet_length(hash) = 32),
	CONSTRAINT acknowledgements_state_digest_width CHECK (octet_length(state_digest) = 32),
	CONSTRAINT acknowledgements_signature_width CHECK (octet_length(signature) = 64)
);

CREATE TABLE ledger.allocations (
	chain SMALLINT NOT NULL,
	allocation_id TEXT NOT NULL,
	event_seq BIGINT NOT NULL,
	account TEXT NOT NULL,
	venue TEXT NOT NULL,
	trade_date DATE NOT NULL,
	exec_ids TEXT[] NOT NULL,
	lines BIGINT NOT NULL,
	rounding NUMERIC NOT NULL,
	reversed_by BIGINT,
	CONSTRAINT allocations_pkey PRIMARY KEY (chain, allocation_id),
	CONSTRAINT allocations_amounts_finite CHECK (abs(rounding) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.assets (
	chain SMALLINT NOT NULL,
	asset TEXT NOT NULL,
	kind TEXT NOT NULL,
	scale BIGINT NOT NULL,
	name TEXT NOT NULL,
	version BIGINT NOT NULL,
	splits TEXT NOT NULL,
	moved_on DATE,
	CONSTRAINT assets_pkey PRIMARY KEY (chain, asset),
	CONSTRAINT assets_scale_in_range CHECK (scale BETWEEN 0 AND 18)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.balances (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	asset TEXT NOT NULL,
	settled NUMERIC NOT NULL,
	unsettled NUMERIC NOT NULL,
	held NUMERIC NOT NULL,
	floor NUMERIC,
	credit_unsettled BOOLEAN NOT NULL,
	breached BOOLEAN NOT NULL,
	CONSTRAINT balances_pkey PRIMARY KEY (chain, account, asset),
	CONSTRAINT balances_held_not_negative CHECK (held >= 0),
	CONSTRAINT balances_breach_flagged CHECK (breached = coalesce(settled + least(unsettled, 0) + CASE WHEN credit_unsettled THEN greatest(unsettled, 0) ELSE 0 END < floor, false)),
	CONSTRAINT balances_amounts_finite CHECK (abs(settled + unsettled + held + coalesce(floor, 0)) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.breaks (
	chain SMALLINT NOT NULL,
	source TEXT NOT NULL,
	key TEXT NOT NULL,
	ledger_value TEXT NOT NULL,
	external_value TEXT NOT NULL,
	as_of BIGINT NOT NULL,
	opened_seq BIGINT NOT NULL,
	closed_seq BIGINT,
	CONSTRAINT breaks_pkey PRIMARY KEY (chain, source, key)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.calendars (
	chain SMALLINT NOT NULL,
	calendar TEXT NOT NULL,
	calendar_version BIGINT NOT NULL,
	holidays TEXT[] NOT NULL,
	cycles TEXT NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT calendars_pkey PRIMARY KEY (chain, calendar)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.chain_heads (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	recorded_at BIGINT NOT NULL,
	epoch INTEGER NOT NULL,
	mode TEXT NOT NULL,
	unbalanced JSONB,
	CONSTRAINT chain_heads_pkey PRIMARY KEY (chain),
	CONSTRAINT chain_heads_hash_width CHECK (octet_length(hash) = 32),
	CONSTRAINT chain_heads_mode_known CHECK (mode IN ('primary', 'replica')),
	CONSTRAINT chain_heads_seq_counts CHECK (seq >= 0),
	CONSTRAINT chain_heads_chain_fkey FOREIGN KEY(chain) REFERENCES ledger.chains (chain)
)
 WITH (fillfactor = 50);

CREATE TABLE ledger.chain_keys (
	chain SMALLINT NOT NULL,
	key_id TEXT NOT NULL,
	purpose TEXT NOT NULL,
	name TEXT NOT NULL,
	public_key TEXT NOT NULL,
	valid_from_seq BIGINT NOT NULL,
	valid_to_seq BIGINT,
	revoked BOOLEAN NOT NULL,
	CONSTRAINT chain_keys_pkey PRIMARY KEY (chain, key_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.checkpoints (
	chain SMALLINT NOT NULL,
	size BIGINT NOT NULL,
	root BYTEA NOT NULL,
	note TEXT NOT NULL,
	sealed_at BIGINT NOT NULL,
	CONSTRAINT checkpoints_pkey PRIMARY KEY (chain, size),
	CONSTRAINT checkpoints_size_from_one CHECK (size > 0),
	CONSTRAINT checkpoints_root_width CHECK (octet_length(root) = 32)
);

CREATE TABLE ledger.client_order_ids (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	cl_ord_id TEXT NOT NULL,
	order_id TEXT NOT NULL,
	CONSTRAINT client_order_ids_pkey PRIMARY KEY (chain, account, cl_ord_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.commits (
	chain SMALLINT NOT NULL,
	last_seq BIGINT NOT NULL,
	first_seq BIGINT NOT NULL,
	state_digest BYTEA NOT NULL,
	committed_at BIGINT NOT NULL,
	CONSTRAINT commits_pkey PRIMARY KEY (chain, last_seq),
	CONSTRAINT commits_state_digest_width CHECK (octet_length(state_digest) = 32),
	CONSTRAINT commits_seqs_ordered CHECK (first_seq > 0 AND first_seq <= last_seq)
);

CREATE TABLE ledger.controls (
	chain SMALLINT NOT NULL,
	action TEXT NOT NULL,
	second_person BOOLEAN NOT NULL,
	event_seq BIGINT NOT NULL,
	CONSTRAINT controls_pkey PRIMARY KEY (chain, action)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.events (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	epoch INTEGER NOT NULL,
	prev_hash BYTEA NOT NULL,
	hash BYTEA NOT NULL,
	event_id UUID NOT NULL,
	event_type TEXT NOT NULL,
	schema_version SMALLINT NOT NULL,
	stream TEXT NOT NULL,
	stream_version BIGINT NOT NULL,
	group_id UUID NOT NULL,
	group_index SMALLINT NOT NULL,
	group_size SMALLINT NOT NULL,
	idempotency_key TEXT NOT NULL,
	request_hash BYTEA NOT NULL,
	occurred_at BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
	effective_on DATE NOT NULL,
	actor TEXT NOT NULL,
	source TEXT NOT NULL,
	correlation_id UUID,
	causation_id UUID,
	salt BYTEA NOT NULL,
	payload JSON NOT NULL,
	CONSTRAINT events_pkey PRIMARY KEY (chain, seq),
	CONSTRAINT events_seq_from_one CHECK (seq > 0),
	CONSTRAINT events_prev_hash_width CHECK (octet_length(prev_hash) = 32),
	CONSTRAINT events_hash_width CHECK (octet_length(hash) = 32),
	CONSTRAINT events_request_hash_width CHECK (octet_length(request_hash) = 32),
	CONSTRAINT events_salt_width CHECK (octet_length(salt) = 16),
	CONSTRAINT events_group_place CHECK (group_index >= 0 AND group_index < group_size),
	CONSTRAINT events_stream_version_from_one CHECK (stream_version > 0),
	CONSTRAINT events_correlation_id_not_zero CHECK (correlation_id <> '00000000-0000-0000-0000-000000000000'),
	CONSTRAINT events_causation_id_not_zero CHECK (causation_id <> '00000000-0000-0000-0000-000000000000')
);

CREATE UNIQUE INDEX events_stream_version ON ledger.events (stream, stream_version, chain);

CREATE TABLE ledger.executions (
	chain SMALLINT NOT NULL,
	venue TEXT NOT NULL,
	trade_date DATE NOT NULL,
	exec_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	event_seq BIGINT NOT NULL,
	order_id TEXT,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	side TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	price NUMERIC NOT NULL,
	asset TEXT NOT NULL,
	gross NUMERIC NOT NULL,
	gross_asset TEXT NOT NULL,
	fees TEXT NOT NULL,
	bucket TEXT NOT NULL,
	settle_date DATE NOT NULL,
	live BOOLEAN NOT NULL,
	ref_trade_date DATE,
	ref_exec_id TEXT,
	root_trade_date DATE NOT NULL,
	root_exec_id TEXT NOT NULL,
	settled_qty NUMERIC NOT NULL,
	settled_gross NUMERIC NOT NULL,
	cost_change NUMERIC NOT NULL,
	realised_change NUMERIC NOT NULL,
	late BOOLEAN NOT NULL,
	allocation_id TEXT,
	content TEXT NOT NULL,
	follows TEXT[] NOT NULL,
	settled_days TEXT[] NOT NULL,
	CONSTRAINT executions_pkey PRIMARY KEY (chain, venue, trade_date, exec_id),
	CONSTRAINT executions_qty_positive CHECK (qty > 0),
	CONSTRAINT executions_settled_qty_in_range CHECK (settled_qty >= 0 AND settled_qty <= qty),
	CONSTRAINT executions_settled_gross_in_step CHECK ((settled_qty > 0 OR settled_gross = 0) AND (settled_qty < qty OR settled_gross = gross)),
	CONSTRAINT executions_ref_has_its_day CHECK ((ref_exec_id IS NULL) = (ref_trade_date IS NULL)),
	CONSTRAINT executions_ref_fkey FOREIGN KEY(chain, venue, ref_trade_date, ref_exec_id) REFERENCES ledger.executions (chain, venue, trade_date, exec_id),
	CONSTRAINT executions_amounts_finite CHECK (abs(qty + price + gross + settled_qty + settled_gross + cost_change + realised_change) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE UNIQUE INDEX executions_ref ON ledger.executions (chain, venue, ref_trade_date, ref_exec_id) WHERE ref_exec_id IS NOT NULL;

CREATE TABLE ledger.holds (
	chain SMALLINT NOT NULL,
	hold_id TEXT NOT NULL,
	legs TEXT NOT NULL,
	remaining TEXT NOT NULL,
	expires_at BIGINT,
	ref TEXT,
	status TEXT NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT holds_pkey PRIMARY KEY (chain, hold_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.idempotency_keys (
	chain SMALLINT NOT NULL,
	source TEXT NOT NULL,
	key TEXT NOT NULL,
	first_seq BIGINT NOT NULL,
	CONSTRAINT idempotency_keys_pkey PRIMARY KEY (chain, source, key),
	CONSTRAINT idempotency_keys_first_seq_from_one CHECK (first_seq > 0)
);

CREATE TABLE ledger.instruments (
	chain SMALLINT NOT NULL,
	instrument TEXT NOT NULL,
	asset TEXT NOT NULL,
	quote_asset TEXT NOT NULL,
	settle_asset TEXT NOT NULL,
	tick NUMERIC NOT NULL,
	lot NUMERIC NOT NULL,
	multiplier NUMERIC NOT NULL,
	settlement_cycle BIGINT NOT NULL,
	calendar TEXT,
	product TEXT,
	venue TEXT NOT NULL,
	symbol TEXT,
	isin TEXT,
	version BIGINT NOT NULL,
	split_on DATE,
	renamed_to TEXT,
	amendments TEXT NOT NULL,
	CONSTRAINT instruments_pkey PRIMARY KEY (chain, instrument),
	CONSTRAINT instruments_amounts_finite CHECK (abs(tick + lot + multiplier) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.movements (
	chain SMALLINT NOT NULL,
	kind TEXT NOT NULL,
	movement_id TEXT NOT NULL,
	event_seq BIGINT NOT NULL,
	effective_on DATE NOT NULL,
	postings TEXT NOT NULL,
	content TEXT NOT NULL,
	reversed_by BIGINT,
	CONSTRAINT movements_pkey PRIMARY KEY (chain, kind, movement_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.orders (
	chain SMALLINT NOT NULL,
	order_id TEXT NOT NULL,
	cl_ord_id TEXT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	side TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	ord_type TEXT NOT NULL,
	price NUMERIC,
	stop_price NUMERIC,
	tif TEXT NOT NULL,
	expire_at BIGINT,
	strategy TEXT,
	parent_order TEXT,
	venue TEXT,
	venue_order_id TEXT,
	status TEXT NOT NULL,
	accepted BOOLEAN NOT NULL,
	triggered BOOLEAN NOT NULL,
	terminal TEXT,
	done_for_day BOOLEAN NOT NULL,
	pending_cancel TEXT[] NOT NULL,
	pending_replace TEXT[] NOT NULL,
	cum_qty NUMERIC NOT NULL,
	cum_notional NUMERIC NOT NULL,
	hold_asset TEXT,
	hold_amount NUMERIC NOT NULL,
	hold_given NUMERIC,
	split_on DATE,
	terms_day DATE NOT NULL,
	version BIGINT NOT NULL,
	asked TEXT[] NOT NULL,
	asked_hold NUMERIC NOT NULL,
	CONSTRAINT orders_pkey PRIMARY KEY (chain, order_id),
	CONSTRAINT orders_cum_qty_in_range CHECK (cum_qty >= 0 AND cum_qty <= qty),
	CONSTRAINT orders_hold_amount_not_negative CHECK (hold_amount >= 0),
	CONSTRAINT orders_asked_hold_not_negative CHECK (asked_hold >= 0),
	CONSTRAINT orders_qty_positive CHECK (qty > 0),
	CONSTRAINT orders_amounts_finite CHECK (abs(qty + coalesce(price, 0) + coalesce(stop_price, 0) + cum_qty + cum_notional + hold_amount + coalesce(hold_given, 0) + asked_hold) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.positions (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	cost NUMERIC NOT NULL,
	realised NUMERIC NOT NULL,
	fees NUMERIC NOT NULL,
	day DATE,
	opening NUMERIC NOT NULL,
	newest TEXT[] NOT NULL,
	day_trades BIGINT NOT NULL,
	CONSTRAINT positions_pkey PRIMARY KEY (chain, account, instrument),
	CONSTRAINT positions_flat_costs_nothing CHECK (qty <> 0 OR cost = 0),
	CONSTRAINT positions_amounts_finite CHECK (abs(qty + cost + realised + fees + opening) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.quarantine (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	original_type TEXT NOT NULL,
	subject TEXT,
	rule TEXT NOT NULL,
	status TEXT NOT NULL,
	answered_seq BIGINT,
	resolution TEXT,
	proposed_by TEXT,
	approved_by TEXT,
	CONSTRAINT quarantine_pkey PRIMARY KEY (chain, seq)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.replica_state (
	chain SMALLINT NOT NULL,
	topic TEXT NOT NULL,
	topic_id TEXT NOT NULL,
	next_offset BIGINT NOT NULL,
	CONSTRAINT replica_state_pkey PRIMARY KEY (chain),
	CONSTRAINT replica_state_next_offset_counts CHECK (next_offset >= 0),
	CONSTRAINT replica_state_chain_fkey FOREIGN KEY(chain) REFERENCES ledger.chains (chain)
);

CREATE TABLE ledger.settlement_fails (
	chain SMALLINT NOT NULL,
	settlement_id TEXT NOT NULL,
	failed_on DATE NOT NULL,
	number BIGINT NOT NULL,
	event_seq BIGINT NOT NULL,
	venue TEXT NOT NULL,
	trade_date DATE NOT NULL,
	exec_id TEXT NOT NULL,
	account TEXT NOT NULL,
	asset TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	amount_asset TEXT NOT NULL,
	amount NUMERIC NOT NULL,
	leg TEXT NOT NULL,
	reason TEXT NOT NULL,
	new_intended_date DATE NOT NULL,
	content TEXT NOT NULL,
	CONSTRAINT settlement_fails_pkey PRIMARY KEY (chain, settlement_id, failed_on, number),
	CONSTRAINT settlement_fails_amounts_finite CHECK (abs(qty + amount) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.state_digests (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	lanes BYTEA NOT NULL,
	CONSTRAINT state_digests_pkey PRIMARY KEY (chain),
	CONSTRAINT state_digests_lanes_width CHECK (octet_length(lanes) = 2048),
	CONSTRAINT state_digests_chain_fkey FOREIGN KEY(chain) REFERENCES ledger.chains (chain)
)
 WITH (fillfactor = 30);

CREATE TABLE ledger.streams (
	chain SMALLINT NOT NULL,
	stream TEXT NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT streams_pkey PRIMARY KEY (chain, stream)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.tiles (
	chain SMALLINT NOT NULL,
	level SMALLINT NOT NULL,
	number BIGINT NOT NULL,
	hashes BYTEA NOT NULL,
	CONSTRAINT tiles_pkey PRIMARY KEY (chain, level, number),
	CONSTRAINT tiles_place_in_tree CHECK (level BETWEEN 0 AND 7 AND number >= 0),
	CONSTRAINT tiles_whole_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0)
);

CREATE TABLE ledger.snapshots (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	state_digest BYTEA NOT NULL,
	made_at BIGINT NOT NULL,
	rows BYTEA NOT NULL,
	CONSTRAINT snapshots_pkey PRIMARY KEY (chain, seq),
	CONSTRAINT snapshots_state_digest_width CHECK (octet_length(state_digest) = 32)
);

CREATE TABLE ledger.read_model_watermarks (
	chain SMALLINT NOT NULL,
	name TEXT NOT NULL,
	seq BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	CONSTRAINT read_model_watermarks_pkey PRIMARY KEY (chain, name),
	CONSTRAINT read_model_watermarks_hash_width CHECK (octet_length(hash) = 32)
);

CREATE TABLE ledger.balance_history (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	account TEXT NOT NULL,
	asset TEXT NOT NULL,
	settled NUMERIC NOT NULL,
	unsettled NUMERIC NOT NULL,
	held NUMERIC NOT NULL,
	floor NUMERIC,
	credit_unsettled BOOLEAN NOT NULL,
	breached BOOLEAN NOT NULL,
	CONSTRAINT balance_history_pkey PRIMARY KEY (chain, account, asset, seq)
);

CREATE TABLE ledger.position_history (
	chain SMALLINT NOT NULL,
	seq BIGINT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	cost NUMERIC NOT NULL,
	realised NUMERIC NOT NULL,
	fees NUMERIC NOT NULL,
	day DATE,
	opening NUMERIC NOT NULL,
	newest TEXT[] NOT NULL,
	day_trades BIGINT NOT NULL,
	CONSTRAINT position_history_pkey PRIMARY KEY (chain, account, instrument, seq)
);

CREATE TABLE ledger.lots (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	number BIGINT NOT NULL,
	venue TEXT NOT NULL,
	trade_date DATE NOT NULL,
	exec_id TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	value NUMERIC NOT NULL,
	open_qty NUMERIC NOT NULL,
	open_cost NUMERIC NOT NULL,
	live BOOLEAN NOT NULL,
	CONSTRAINT lots_pkey PRIMARY KEY (chain, account, instrument, number),
	CONSTRAINT lots_closed_costs_nothing CHECK (open_qty <> 0 OR open_cost = 0),
	CONSTRAINT lots_open_within_traded CHECK (abs(open_qty) <= abs(qty)),
	CONSTRAINT lots_amounts_finite CHECK (abs(qty + value + open_qty + open_cost) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.lot_queues (
	chain SMALLINT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	first_open BIGINT NOT NULL,
	last BIGINT NOT NULL,
	base BIGINT NOT NULL,
	base_realised NUMERIC NOT NULL,
	CONSTRAINT lot_queues_pkey PRIMARY KEY (chain, account, instrument),
	CONSTRAINT lot_queues_amounts_finite CHECK (abs(base_realised) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.corporate_actions (
	chain SMALLINT NOT NULL,
	ca_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	instrument TEXT NOT NULL,
	asset TEXT,
	ex_date DATE NOT NULL,
	event_seq BIGINT NOT NULL,
	content TEXT NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT corporate_actions_pkey PRIMARY KEY (chain, ca_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.entitlements (
	chain SMALLINT NOT NULL,
	ca_id TEXT NOT NULL,
	account TEXT NOT NULL,
	instrument TEXT NOT NULL,
	qty NUMERIC NOT NULL,
	new_qty NUMERIC NOT NULL,
	gross NUMERIC NOT NULL,
	tax NUMERIC NOT NULL,
	paid_gross NUMERIC NOT NULL,
	paid_tax NUMERIC NOT NULL,
	cost_change NUMERIC NOT NULL,
	realised_change NUMERIC NOT NULL,
	settled_qty NUMERIC NOT NULL,
	CONSTRAINT entitlements_pkey PRIMARY KEY (chain, ca_id, account),
	CONSTRAINT entitlements_paid_within_due CHECK (abs(paid_gross) <= abs(gross) AND abs(paid_tax) <= abs(tax)),
	CONSTRAINT entitlements_amounts_finite CHECK (abs(qty + new_qty + gross + tax + paid_gross + paid_tax + cost_change + realised_change + settled_qty) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.marks (
	chain SMALLINT NOT NULL,
	subject TEXT NOT NULL,
	day DATE NOT NULL,
	kind TEXT NOT NULL,
	price NUMERIC NOT NULL,
	as_of BIGINT NOT NULL,
	event_seq BIGINT NOT NULL,
	CONSTRAINT marks_pkey PRIMARY KEY (chain, subject, day, kind),
	CONSTRAINT marks_amounts_finite CHECK (abs(price) < 'Infinity')
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.closed_periods (
	chain SMALLINT NOT NULL,
	number BIGINT NOT NULL,
	through DATE NOT NULL,
	event_seq BIGINT NOT NULL,
	trial_balance TEXT NOT NULL,
	CONSTRAINT closed_periods_pkey PRIMARY KEY (chain, number)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.incidents (
	chain SMALLINT NOT NULL,
	incident_id TEXT NOT NULL,
	severity TEXT NOT NULL,
	cause TEXT NOT NULL,
	status TEXT NOT NULL,
	opened_at BIGINT NOT NULL,
	acknowledged_at BIGINT,
	mitigated_at BIGINT,
	closed_at BIGINT,
	version BIGINT NOT NULL,
	CONSTRAINT incidents_pkey PRIMARY KEY (chain, incident_id)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.divergent_tails (
	chain SMALLINT NOT NULL,
	epoch BIGINT NOT NULL,
	from_seq BIGINT NOT NULL,
	to_seq BIGINT NOT NULL,
	head_hash TEXT NOT NULL,
	bundle_hash TEXT NOT NULL,
	disposed BIGINT NOT NULL,
	CONSTRAINT divergent_tails_pkey PRIMARY KEY (chain, epoch),
	CONSTRAINT divergent_tails_disposed_in_range CHECK (disposed >= 0 AND disposed <= to_seq - from_seq + 1)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.divergent_events (
	chain SMALLINT NOT NULL,
	epoch BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	disposition TEXT NOT NULL,
	new_seq BIGINT,
	CONSTRAINT divergent_events_pkey PRIMARY KEY (chain, epoch, seq)
)
 WITH (fillfactor = 80);

CREATE TABLE ledger.schemas (
	chain SMALLINT NOT NULL,
	event_type TEXT NOT NULL,
	schema_version BIGINT NOT NULL,
	schema_hash TEXT NOT NULL,
	encoder_version TEXT NOT NULL,
	event_seq BIGINT NOT NULL,
	CONSTRAINT schemas_pkey PRIMARY KEY (chain, event_type, schema_version)
)
 WITH (fillfactor = 80);
