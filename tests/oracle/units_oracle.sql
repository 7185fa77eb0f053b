-- What the unit store must come to, from the raw rows of one partition of `units`.
--
-- exposures(run, allocation, variant, unit, time, id, late, inactive, forced)
-- events(fact, unit, time, id, value, late, unusable)
-- arms(run, allocation, variant)
-- metrics(run, metric, version, kind, fact, span, since): span is null without a window
-- runs(run, started, ends): ends is null while the run is open
-- parameters: $clock, $horizon, $gap (ms)
WITH
shown AS (SELECT * FROM exposures WHERE NOT late AND NOT inactive AND NOT forced),
jumpers AS (
    SELECT DISTINCT run, unit FROM (
        SELECT run, unit FROM shown GROUP BY run, unit, allocation HAVING count(DISTINCT variant) > 1
    )
),
members AS (
    SELECT run, unit, allocation, variant, time AS entry
    FROM shown ANTI JOIN jumpers USING (run, unit)
    QUALIFY row_number() OVER (PARTITION BY run, unit ORDER BY time, id, allocation) = 1
),
moved AS (
    SELECT run, unit FROM shown ANTI JOIN jumpers USING (run, unit)
    GROUP BY run, unit HAVING count(DISTINCT allocation) > 1
),
usable AS (SELECT * FROM events WHERE NOT late AND NOT unusable),
happened AS (SELECT fact, unit, time, id, any_value(value) AS value FROM usable GROUP BY fact, unit, time, id),
covered AS (
    SELECT s.run, s.unit, s.allocation, s.variant, s.entry, m.metric, m.version, m.kind, m.fact, m.span, r.ends
    FROM members s JOIN metrics m ON m.run = s.run AND s.entry >= m.since JOIN runs r ON r.run = s.run
),
totals AS (
    SELECT c.run, c.metric, c.version, c.kind, c.allocation, c.variant, c.unit, c.entry, c.span,
        count(e.id) AS counted,
        (CASE c.kind WHEN 'sum' THEN coalesce(sum(e.value), 0)
            WHEN 'count' THEN count(e.id) ELSE least(count(e.id), 1) END)::HUGEINT AS x
    FROM covered c LEFT JOIN happened e
        ON e.unit = c.unit AND e.fact = c.fact AND e.time >= c.entry
        AND (c.span IS NULL OR e.time < c.entry + c.span) AND (c.ends IS NULL OR e.time < c.ends)
    GROUP BY c.run, c.metric, c.version, c.kind, c.allocation, c.variant, c.unit, c.entry, c.span
),
readings AS (
    SELECT 'live' AS reading, * FROM totals
    UNION ALL
    SELECT 'settled', * FROM totals WHERE span IS NOT NULL AND $clock > entry + span + $horizon
),
cells AS (
    SELECT a.run, m.metric, m.version, g.reading, a.allocation, a.variant,
        count(x) AS n, count(x) FILTER (x <> 0) AS nonzero,
        coalesce(sum(x), 0)::VARCHAR AS s1, coalesce(sum(x * x), 0)::VARCHAR AS s2
    FROM arms a JOIN metrics m USING (run) CROSS JOIN (VALUES ('live'), ('settled')) g(reading)
    LEFT JOIN readings t ON t.run = a.run AND t.metric = m.metric AND t.reading = g.reading
        AND t.allocation = a.allocation AND t.variant = a.variant AND abs(t.x) < 140737488355328
    WHERE g.reading = 'live' OR m.span IS NOT NULL
    GROUP BY ALL
),
pairs AS (
    SELECT fact, time, lag(time) OVER (PARTITION BY fact, unit, id ORDER BY time) AS before FROM happened
)
SELECT 'sums' AS what, run, metric, version, reading, allocation, variant, n, nonzero, s1, s2 FROM cells
UNION ALL
SELECT 'arm', a.run, NULL, NULL, NULL, a.allocation, a.variant, count(s.unit), NULL, NULL, NULL
FROM arms a LEFT JOIN members s USING (run, allocation, variant) GROUP BY ALL
UNION ALL
SELECT 'counted', m.run, m.metric, NULL, NULL, NULL, NULL, coalesce(sum(t.counted), 0),
    count(*) FILTER (abs(t.x) >= 140737488355328), NULL, NULL
FROM metrics m LEFT JOIN totals t USING (run, metric) GROUP BY ALL
UNION ALL
SELECT 'left out', m.run, m.metric, NULL, NULL, NULL, NULL,
    (SELECT count(*) FROM events e WHERE e.fact = m.fact AND e.time >= m.since AND e.late),
    (SELECT count(*) FROM events e WHERE e.fact = m.fact AND e.time >= m.since AND NOT e.late AND e.unusable),
    ((SELECT count(*) FROM usable e WHERE e.fact = m.fact AND e.time >= m.since)
    - (SELECT count(*) FROM happened e WHERE e.fact = m.fact AND e.time >= m.since))::VARCHAR, NULL
FROM metrics m
UNION ALL
SELECT 'exposures', r.run, NULL, NULL, NULL, NULL, NULL,
    (SELECT count(*) FROM shown s WHERE s.run = r.run),
    (SELECT count(*) FROM exposures s WHERE s.run = r.run AND late AND NOT inactive AND NOT forced),
    (SELECT count(*) FROM exposures s WHERE s.run = r.run AND inactive)::VARCHAR,
    (SELECT count(*) FROM exposures s WHERE s.run = r.run AND forced AND NOT inactive)::VARCHAR
FROM runs r
UNION ALL
SELECT 'units', r.run, NULL, NULL, NULL, NULL, NULL,
    (SELECT count(*) FROM jumpers j WHERE j.run = r.run), (SELECT count(*) FROM moved j WHERE j.run = r.run),
    (SELECT count(*) FROM pairs p WHERE p.time - p.before <= $gap AND p.before >= r.started
        AND p.fact IN (SELECT fact FROM metrics m WHERE m.run = r.run))::VARCHAR, NULL
FROM runs r
