"""How a database of any age is brought to the tables of today: one file per step in `versions/`, applied at open."""
