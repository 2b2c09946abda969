"""Who may take part: a cluster's authority, one-time tokens, certificates of one name and role, what each role may do.

Theory of operation: the authority signs certificates (`authority.py`); a token says where it is and how to recognise
it (`tokens.py`); a joining machine makes its own key and has it signed over TLS (`enrolment.py`, `joining.py`). Zenoh's
mutual TLS lets only certificates of the cluster in, and its access rules say what each role may send (`access.py`). The
name in a certificate is bound to every message end to end (`sealing.py`), because relays pass on what others say.
"""
