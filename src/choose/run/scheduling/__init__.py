"""What runs next: order, races, value and what waits; nothing here runs or writes anything."""
