-- Every event with its unit: those that name one, and loose ones by the first join of their identity, if it is not later
-- than a horizon after the event. Who counts both asks for the fact with the pair behind it. Parameters: $horizon (ms),
-- $pair.
WITH firsts AS (
    SELECT * FROM joins QUALIFY row_number() OVER (PARTITION BY pair, identity ORDER BY time, unit) = 1
)
SELECT fact, unit, time, id, value, late, unusable FROM own
UNION ALL
SELECT fact || '~' || $pair, unit, time, id, value, late, unusable FROM own
UNION ALL
SELECT l.fact || '~' || l.pair, f.unit, l.time, xor(l.id, l.identity), l.value, l.late, l.unusable
FROM loose l JOIN firsts f ON f.pair = l.pair AND f.identity = l.identity AND f.time <= l.time + $horizon
