"""Check that signers and witnesses keep their promises over real sockets, kills and restored states."""
