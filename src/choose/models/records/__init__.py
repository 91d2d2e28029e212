"""Values of records in texts: found, tagged and written, without a language model."""
