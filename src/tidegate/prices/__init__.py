"""What things cost: a dated catalogue of rates, each row with its region, source and date."""
