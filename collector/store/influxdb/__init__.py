"""InfluxDB 1.8 and 2.x behind the store's interface; InfluxDB 3 as a copy that is only written."""
