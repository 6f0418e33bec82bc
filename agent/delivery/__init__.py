"""From the log to the broker and no further: what waits, what is next, one MQTT 5 connection."""
