"""How it ended: the hold is given back and the ledger gets its row, once."""
