"""Devices that can run no agent, asked by SNMP. ``session`` alone knows the library."""
