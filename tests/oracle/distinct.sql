-- How many different values, or days, do the unit's events have?
SELECT w.run, w.metric, w.variable, w.unit, w.role, count(e.id) AS events,
    count(DISTINCT CASE w.kind WHEN 'days' THEN e.time // 86400000 ELSE e.value END) AS x
FROM windows w LEFT JOIN happened e
    ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
        AND abs(e.value) < 1::HUGEINT << 62
WHERE w.kind IN ('days', 'distinct')
GROUP BY ALL
