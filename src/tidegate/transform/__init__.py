"""What a batch transform does with bytes, without I/O: records, batches, filters, joins, names."""
