"""Papers measured anew. Each folder imports Seamline; Seamline imports none of them."""
