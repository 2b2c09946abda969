"""Identity of a running node: how its links are secured, what a peer's role allows, what changes meanwhile."""
