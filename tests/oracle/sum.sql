-- The total of a property of the unit's events.
SELECT w.run, w.metric, w.variable, w.unit, w.role, count(e.id) AS events, coalesce(sum(e.value), 0) AS x
FROM windows w LEFT JOIN happened e
    ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
WHERE w.kind = 'sum'
GROUP BY ALL
