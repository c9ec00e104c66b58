"""Operations of a batch transform on bytes, without I/O: records, batches, filters, joins, names."""
