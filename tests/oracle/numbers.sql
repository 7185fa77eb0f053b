-- The numbers that are added up: of each variable after the entry, then of each before it, other metrics' last; capped,
-- then logged.
-- A ratio has its numerator and its denominator, in this order. What reaches 2^62 is not logged: it is withheld.
SELECT t.run, t.metric, t.unit, t.role = 'after' AS is_after, t.events,
    t.variable + CASE t.role WHEN 'before' THEN v.pasts ELSE 0 END AS number,
    CASE WHEN v.factor IS NULL OR abs(t.capped) >= 1::HUGEINT << 62 THEN t.capped
        WHEN v.one + t.capped <= 0 THEN 0
        ELSE round_even(ln((v.one + t.capped) / v.one::DOUBLE) * v.factor, 0)::HUGEINT END AS x
FROM (
    SELECT t.*, greatest(least(t.x, v.cap), v.lower_cap)::HUGEINT AS capped -- nulls don't count
    FROM (
        SELECT * FROM conversion UNION ALL SELECT * FROM count UNION ALL SELECT * FROM sum
        UNION ALL SELECT * FROM mean UNION ALL SELECT * FROM funnel UNION ALL SELECT * FROM retention
        UNION ALL SELECT * FROM percentile UNION ALL SELECT * FROM "distinct"
    ) t JOIN variables v ON v.run = t.run AND v.metric = t.metric AND v.variable = t.variable
) t JOIN variables v
    ON v.run = t.run AND v.metric = t.metric AND v.variable = t.variable
