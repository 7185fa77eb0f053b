-- The events that may count, each once with the largest value that was told of it, and how often it was repeated.
SELECT fact, unit, time, id, max(value) AS value, count(*) - 1 AS repeats, min(value) <> max(value) AS is_disputed
FROM events WHERE NOT late AND NOT unusable
GROUP BY fact, unit, time, id
