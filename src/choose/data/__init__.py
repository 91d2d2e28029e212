"""Read labelled sets, divide them fairly, disturb them on purpose."""
