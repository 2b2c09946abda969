"""Sinks: where answers go. Files, pictures with the answers drawn in, MQTT, webhooks, the terminal.

`opening.py` makes sinks from words, `outlet.py` runs each on a thread of its own behind a bounded queue, `answered.py`
has the record that all of them get. What outputs mean is `heads`' business, where frames come from nobody's here.
"""
