"""Devices, memory, threads and number types."""
