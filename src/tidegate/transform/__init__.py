"""What a batch transform does with bytes, without touching the world: records, batches, filters, joins, names."""
