"""Values that all else speaks in: nodes, plans, profiles, links, objectives, constraints, errors, ports, units."""
