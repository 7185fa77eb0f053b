-- Did the unit return in the period after its first start? The start is not a return itself; another event of its time is.
-- Of each hour the first 500 events by time and id are read; those of one time and id are one.
WITH matched AS (
    SELECT w.*, e.time, e.id, e.fact, dense_rank() OVER (
            PARTITION BY w.run, w.metric, w.variable, w.unit, e.time // 3600000 ORDER BY e.time, e.id
        ) <= 500 AS is_read
    FROM windows w JOIN happened e
        ON e.unit = w.unit AND list_contains(w.facts, e.fact) AND e.time >= w.since AND e.time < w.until
    WHERE w.kind = 'retention'
),
starts AS (
    SELECT run, metric, variable, unit, min(time) AS first, arg_min(ids, time) AS ids
    FROM (
        SELECT run, metric, variable, unit, time, list(id) AS ids FROM matched WHERE is_read AND fact = facts[1]
        GROUP BY ALL
    ) GROUP BY run, metric, variable, unit
),
returned AS (
    SELECT DISTINCT m.run, m.metric, m.variable, m.unit
    FROM matched m JOIN starts s USING (run, metric, variable, unit)
    WHERE m.is_read AND m.fact = m.facts[2] AND m.time - s.first >= m.begins AND m.time - s.first < m.ends
        AND (m.time > s.first OR len(list_filter(s.ids, lambda id: id <> m.id)) > 0)
),
counted AS (SELECT run, metric, variable, unit, count(*) AS events FROM matched GROUP BY ALL)
SELECT w.run, w.metric, w.variable, w.unit, w.role, coalesce(c.events, 0) AS events,
    CASE WHEN r.run IS NULL THEN 0 ELSE 1 END AS x
FROM windows w LEFT JOIN counted c USING (run, metric, variable, unit)
LEFT JOIN returned r USING (run, metric, variable, unit)
WHERE w.kind = 'retention'
