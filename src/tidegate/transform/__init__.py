"""What a batch transform does with bytes, without touching the world: records, mini-batches, filters, joins, names."""
