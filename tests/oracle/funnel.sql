-- How many times over did the unit send the events of all steps, in their order? Events of one time and id are one.
-- With more than 1000 events the unit is withheld.
WITH RECURSIVE
matched AS (
    SELECT w.run, w.metric, w.variable, w.unit, w.facts, w.totals, e.time, e.id,
        list(DISTINCT e.fact) AS kinds, count(*) AS events
    FROM windows w JOIN happened e
        ON e.unit = w.unit AND list_contains(w.facts, e.fact) AND e.time >= w.since AND e.time < w.until
    WHERE w.kind = 'funnel'
    GROUP BY ALL
),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY run, metric, variable, unit ORDER BY time, id) AS place FROM matched
),
walk AS (
    SELECT run, metric, variable, unit, 0::BIGINT AS place, 0 AS step, 0 AS completed
    FROM windows WHERE kind = 'funnel'
    UNION ALL
    SELECT n.run, n.metric, n.variable, n.unit, n.place,
        CASE WHEN NOT list_contains(n.kinds, n.facts[w.step + 1]) THEN w.step
            WHEN w.step + 1 = len(n.facts) THEN 0 ELSE w.step + 1 END,
        CASE WHEN list_contains(n.kinds, n.facts[w.step + 1]) AND w.step + 1 = len(n.facts)
            THEN w.completed + 1 ELSE w.completed END
    FROM walk w JOIN numbered n
        ON n.run = w.run AND n.metric = w.metric AND n.variable = w.variable AND n.unit = w.unit
        AND n.place = w.place + 1
),
counted AS (SELECT run, metric, variable, unit, sum(events) AS events FROM matched GROUP BY ALL)
SELECT f.run, f.metric, f.variable, f.unit, f.role, coalesce(any_value(c.events), 0) AS events,
    CASE WHEN coalesce(any_value(c.events), 0) > 1000 THEN 1::BIGINT << 47
        WHEN f.totals THEN max(w.completed) ELSE least(max(w.completed), 1) END AS x
FROM windows f JOIN walk w USING (run, metric, variable, unit)
LEFT JOIN counted c USING (run, metric, variable, unit)
WHERE f.kind = 'funnel'
GROUP BY f.run, f.metric, f.variable, f.unit, f.role, f.totals
